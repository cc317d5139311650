"""A client of ComfyUI's HTTP API, standard library only: queue a graph, wait for it, fetch its pictures."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

Prompt = dict[str, dict[str, Any]]  # node id -> {"class_type": ..., "inputs": {...}}


class GraphError(RuntimeError):
    """ComfyUI refused a graph, or a node of it failed; the message is what ComfyUI's error box would show."""


class Unmoved(urllib.request.HTTPRedirectHandler):
    """Another address than the one that was given is not asked."""

    def redirect_request(self, *_: Any) -> None:
        """None makes the redirect an error."""


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), Unmoved)


class ComfyClient:
    """Speaks to one server: directly, and to no other that it might send on to."""

    def __init__(self, url: str):
        self.url = url

    def get(self, path: str) -> Any:
        """The JSON that a route answers with."""
        return json.loads(self._open(path))

    def set(self, setting: str, value: Any) -> None:
        """Stores a setting of the frontend."""
        self._open(f"/settings/{setting}", json.dumps(value).encode(), {"Content-Type": "application/json"})

    def object_info(self) -> dict[str, Any]:
        """Every node that the server knows."""
        return self.get("/object_info")

    def upload(self, picture: Path) -> str:
        """Puts a picture into the server's input folder; returns the name for LoadImage."""
        return self.upload_bytes(picture.name, picture.read_bytes())

    def upload_bytes(self, name: str, data: bytes) -> str:
        """The same for a picture that is no file."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        body = head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + data
        body += f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue'.encode()
        body += f"\r\n--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return json.loads(self._open("/upload/image", body, kind))["name"]

    def queue(self, prompt: Prompt, listener: str | None = None) -> str:
        """Posts a graph; returns its id. Raises `GraphError` when ComfyUI does not accept it.

        `listener` is the id of the socket that hears of its progress.
        """
        name = str(uuid.uuid4())
        body = json.dumps({"prompt": prompt, "prompt_id": name, "client_id": listener or name}).encode()
        try:
            self._open("/prompt", body, {"Content-Type": "application/json"})
        except urllib.error.HTTPError as error:
            raise GraphError(_refusal(json.loads(error.read()))) from error
        return name

    def outputs(self, name: str) -> dict[str, Any] | None:
        """The outputs of a graph by node id, None while it is not done. Raises `GraphError` when a node failed."""
        entry = self.get(f"/history/{name}").get(name)
        if entry is None:
            return None
        if entry["status"]["status_str"] != "success":
            raise GraphError(_failure(entry["status"]["messages"]))
        return entry["outputs"]

    def cancel(self, names: list[str]) -> None:
        """Takes graphs out of the queue, and interrupts one of them that runs."""
        kind = {"Content-Type": "application/json"}
        self._open("/queue", json.dumps({"delete": names}).encode(), kind)
        for running in self.get("/queue")["queue_running"]:
            if running[1] in names:
                self._open("/interrupt", json.dumps({"prompt_id": running[1]}).encode(), kind)

    def wait(self, name: str, seconds: float = 600) -> dict[str, Any]:
        """Blocks until a graph is done; returns its outputs by node id. Raises `GraphError` when a node failed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (outputs := self.outputs(name)) is not None:
                return outputs
            time.sleep(0.05)
        raise GraphError(f"graph {name} was not done after {seconds:.0f} s")

    def run(self, prompt: Prompt) -> dict[str, Any]:
        """Queues a graph and waits for it."""
        return self.wait(self.queue(prompt))

    def picture(self, entry: dict[str, str]) -> bytes:
        """The file behind an entry of a node's `images`."""
        return self._open(f"/view?{urllib.parse.urlencode(entry)}")

    def _open(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, data=body, headers=headers or {})
        with OPENER.open(request, timeout=120) as answer:
            return answer.read()


def _refusal(answer: dict[str, Any]) -> str:
    details = [
        f"{node['class_type']} (node {name}): {problem['message']}: {problem['details']}"
        for name, node in answer.get("node_errors", {}).items()
        for problem in node["errors"]
    ]
    return "; ".join([answer["error"]["message"], *details])


def _failure(messages: list) -> str:
    for kind, data in messages:
        if kind == "execution_error":
            return (
                f"{data['node_type']} (node {data['node_id']}): {data['exception_type']}: {data['exception_message']}"
            )
    return f"the graph ended with {[kind for kind, _ in messages]}"
