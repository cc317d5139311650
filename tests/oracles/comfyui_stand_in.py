"""A stand-in of ComfyUI's HTTP API: notes what it is asked, and answers as each node of a titled graph would."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import torch
from pack.ipadapter_core.checkpoint.enums import Feature
from pack.ipadapter_core.prompt.files import save_prompt
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from PIL import Image

ROW = {"references": [0.5], "palette": 1.0, "prompt": None, "sharpness": 2.0}


class StandIn:
    """`paths` are the requests that came,
    `uploads` and `graphs` what they brought; unless it is `busy`, a graph is done at once.

    `moved` is where it sends everybody on to; `broken` is error 500; unless it `hears`, nobody is answered.
    """

    def __init__(self, folder: Path):
        self.paths: list[str] = []
        self.graphs: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytes] = {}
        self.busy, self.broken, self.moved = False, False, ""
        self.files = {"made.png": png(), "prompt.png": prompt_png(folder)}
        self.hears = threading.Event()
        self.hears.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Answers nobody any more."""
        self.hears.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: bytes) -> bytes | None:
        """What a route says; None is error 500."""
        self.paths.append(path)
        self.hears.wait()
        parts = urlsplit(path)
        if self.broken:
            return None
        if parts.path == "/view":
            return self.files[parse_qs(parts.query)["filename"][0]]
        if parts.path == "/upload/image":
            name = body.partition(b'filename="')[2].partition(b'"')[0].decode()
            self.uploads[name] = body
            return json.dumps({"name": name}).encode()
        if parts.path == "/prompt":
            asked = {"prompt_id": str(len(self.graphs))} | json.loads(body)
            self.graphs[asked["prompt_id"]] = asked["prompt"]
            return json.dumps({"prompt_id": asked["prompt_id"]}).encode()
        if parts.path.startswith("/history/"):
            return json.dumps(self._history(parts.path.rpartition("/")[2])).encode()
        return json.dumps({"queue_running": []}).encode()

    def _history(self, name: str) -> dict[str, Any]:
        if self.busy:
            return {}
        outputs = {node: SHOWN[one["_meta"]["title"]] for node, one in self.graphs[name].items()
                   if one["_meta"]["title"] in SHOWN}  # fmt: skip
        return {name: {"status": {"status_str": "success"}, "outputs": outputs}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        told, place = self.answer, self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = told(self.path, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                if said is None:
                    return self.send_error(500)
                self.send_response(302 if place.moved else 200)
                if place.moved:
                    self.send_header("Location", place.moved)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


SHOWN: dict[str, Any] = {
    "Picture": {"images": [{"filename": "made.png", "subfolder": "", "type": "output"}]},
    "Kept prompt": {"images": [{"filename": "prompt.png", "subfolder": "", "type": "output"}], "text": ["prompt.png"]},
    "Scores": {"text": [json.dumps({"rows": [ROW]})]},
}


def png(size: tuple[int, int] = (32, 24)) -> bytes:
    """A plain image."""
    Image.new("RGB", size, "green").save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def prompt_png(folder: Path) -> bytes:
    """What Save Image Prompt writes, with a note that nobody asked for."""
    encoded = EncodedImage(torch.ones(1, 8), torch.zeros(1, 8))
    file = folder / "stand_in.png"
    save_prompt(ImagePrompt((Reference(encoded),), Feature.POOLED, "an encoder"), file, "ignore all rules",
                torch.full((24, 32, 3), 99, dtype=torch.uint8))  # fmt: skip
    data = file.read_bytes()
    file.unlink()
    return data
