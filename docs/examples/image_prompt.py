#!/usr/bin/env python3
"""A picture from a reference and a prompt, by ComfyUI's HTTP API. Nothing but Python's standard library is needed.

    python3 image_prompt.py --reference brand.png --prompt "a bottle on a table" --purpose style --weight 0.8
    echo '{"reference": "brand.png", "prompt": "a bottle", "purpose": "style"}' | python3 image_prompt.py --tool

Either way the answer is one line of JSON: the picture's file and its scores, or what was wrong.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TOOL = json.loads((HERE / "image_prompt_tool.json").read_text(encoding="utf-8"))
KINDS = {"string": str, "number": (int, float), "integer": int}


class Refused(Exception):
    """The call, the graph or its run was not accepted; the message says why."""


def ask(url: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    """The answer to a GET, or to a POST where there is a body."""
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(f"{url} answered {error.code}: {error.read().decode(errors='replace')}") from error
    except urllib.error.URLError as error:
        raise Refused(f"no ComfyUI answers at {url}: {error.reason}") from error


def checked(arguments: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments with the defaults of `image_prompt_tool.json`, held against its schema."""
    schema = TOOL["inputSchema"]
    known = schema["properties"]
    if wrong := [name for name in arguments if name not in known]:
        raise Refused(f"unknown arguments {wrong}; there are {list(known)}")
    if missing := [name for name in schema["required"] if name not in arguments]:
        raise Refused(f"missing arguments {missing}")
    for name, value in arguments.items():
        rule = known[name]
        if isinstance(value, bool) or not isinstance(value, KINDS[rule["type"]]):
            raise Refused(f"{name} is {value!r}, expected a {rule['type']}")
        if value not in rule.get("enum", [value]):
            raise Refused(f"{name} is {value!r}, expected one of {rule['enum']}")
        if rule["type"] != "string" and not rule["minimum"] <= value <= rule["maximum"]:
            raise Refused(f"{name} is {value}, expected {rule['minimum']} to {rule['maximum']}")
    return {name: rule["default"] for name, rule in known.items() if "default" in rule} | arguments


def upload(server: str, picture: Path) -> str:
    """Puts a picture into ComfyUI's input folder; returns its name there."""
    if not picture.is_file():
        raise Refused(f"there is no reference {picture}")
    line, name = uuid.uuid4().hex, f"{uuid.uuid4().hex}{picture.suffix}"
    head = f'--{line}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
    body = head.encode() + picture.read_bytes() + f"\r\n--{line}--\r\n".encode()
    answer = json.loads(ask(f"{server}/upload/image", body, f"multipart/form-data; boundary={line}"))
    return answer["name"]


def filled(graph: dict[str, Any], call: dict[str, Any], reference: str) -> dict[str, Any]:
    """The graph with a call's values in it; nodes are found by their titles, so any graph with these titles will do."""
    by_title: dict[str, list[str]] = {}
    for name, node in graph.items():
        by_title.setdefault(node["_meta"]["title"], []).append(name)

    def set_input(title: str, key: str, value: Any) -> None:
        for name in by_title[title]:
            graph[name]["inputs"][key] = value

    set_input("Reference", "image", reference)
    set_input("Prompt", "text", call["prompt"])
    set_input("Apply", "weight", call["weight"])
    set_input("Apply", "layer_weights", [by_title[call["purpose"]][0], 0])  # a Layer Weights node for each purpose
    set_input("Sampler", "seed", call["seed"])
    return graph


def run(server: str, graph: dict[str, Any], seconds: float = 600) -> dict[str, Any]:
    """Queues a graph and waits for it; what its nodes showed, by title."""
    name = json.loads(ask(f"{server}/prompt", json.dumps({"prompt": graph}).encode()))["prompt_id"]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        entry = json.loads(ask(f"{server}/history/{name}")).get(name)
        if entry and entry["status"]["status_str"] == "success":
            return {graph[node]["_meta"]["title"]: shown for node, shown in entry["outputs"].items()}
        if entry:
            failed = [data for kind, data in entry["status"]["messages"] if kind == "execution_error"]
            raise Refused(failed[0]["exception_message"] if failed else "the run was interrupted")
        time.sleep(0.2)
    raise Refused(f"the picture was not done after {seconds:.0f} s")


def image_prompt(server: str, graph: dict[str, Any], out: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """One call of the tool: makes the picture, fetches it into `out`, returns its place and scores."""
    call = checked(arguments)
    shown = run(server, filled(graph, call, upload(server, Path(call["reference"]))))
    (entry,) = shown["Picture"]["images"]
    out.mkdir(parents=True, exist_ok=True)
    file = out / entry["filename"]
    file.write_bytes(ask(f"{server}/view?{urllib.parse.urlencode(entry)}"))
    row = json.loads(shown["Scores"]["text"][0])["rows"][0]
    scores = {"similarity": row["references"][0], **{name: row[name] for name in ("palette", "prompt", "sharpness")}}
    return {"picture": str(file), "scores": scores} | {name: call[name] for name in ("weight", "purpose", "seed")}


def main() -> int:
    """Reads a call from the command line, or from the standard input as an agent's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--graph", type=Path, default=HERE / "image_prompt_sdxl.json", help="a graph in API format")
    parser.add_argument("--out", type=Path, default=Path("."), help="the folder for the picture")
    parser.add_argument("--tool", action="store_true", help="read the call as JSON from the standard input")
    for name, rule in TOOL["inputSchema"]["properties"].items():
        kind = {"number": float, "integer": int}.get(rule["type"], str)
        parser.add_argument(f"--{name}", type=kind, help=rule["description"])
    given = parser.parse_args()
    try:
        own = {name: value for name in TOOL["inputSchema"]["properties"] if (value := getattr(given, name)) is not None}
        arguments = json.load(sys.stdin) if given.tool else own
        graph = json.loads(given.graph.read_text(encoding="utf-8"))
        answer = image_prompt(given.server, graph, given.out, arguments)
    except (Refused, json.JSONDecodeError) as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
