#!/usr/bin/env python3
"""A picture from a reference and a prompt, by ComfyUI's HTTP API. Needs Python and Pillow, which ComfyUI has.

    python3 image_prompt.py --reference brand.png --prompt "a bottle on a table" --purpose style --weight 0.8
    echo '{"reference": "brand.png", "prompt": "a bottle", "purpose": "style"}' | python3 image_prompt.py --tool --allow .

Either way the answer is one line of JSON: the picture's file and its scores, or what was wrong. As a tool it reads images
below the folders given as --allow alone; what it sends and what it keeps are pixels, written anew.
"""

import argparse
import io
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
TOOL = json.loads((HERE / "image_prompt_tool.json").read_text(encoding="utf-8"))
KINDS = {"string": str, "number": (int, float), "integer": int}
NEEDED = ("Reference", "Prompt", "Apply", "Sampler", "Picture", "Scores")
MOST_BYTES, MOST_PIXELS = 32 * 2**20, 40_000_000  # of an image file, read or sent
LONGEST_SIDE = 2048  # of a reference; no image encoder looks at more than 1,024
LONGEST_SAID = 200  # characters of anything from outside, in an answer


class Refused(Exception):
    """The call, the graph or its run was not accepted; the message says why."""


class Unmoved(urllib.request.HTTPRedirectHandler):
    """Another address than the one that was given is not asked."""

    def redirect_request(self, *_: Any) -> None:
        """None makes the redirect an error."""


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), Unmoved)


def short(text: object) -> str:
    """A text from outside as data: one line, capped."""
    said = " ".join(str(text).split())
    return said if len(said) <= LONGEST_SAID else f"{said[: LONGEST_SAID - 3]}..."


def server_address(url: str, remote: bool) -> str:
    """ComfyUI on this machine, or with `remote` on any."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise Refused(f"--server is {short(url)!r}, expected http://HOST:PORT")
    if parts.hostname not in ("127.0.0.1", "localhost", "::1") and not remote:
        raise Refused(
            f"--server {short(parts.hostname)} is another machine: say --remote if you trust it and the network"
        )
    return url.rstrip("/")


def ask(url: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    """The answer to a GET, or to a POST where there is a body."""
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with OPENER.open(request, timeout=60) as answer:
            return answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        said = error.read(MOST_BYTES).decode(errors="replace")
        raise Refused(f"{short(url)} answered {error.code}: {short(said)}") from error
    except OSError as error:
        raise Refused(f"no ComfyUI answers at {short(url)}: {short(getattr(error, 'reason', error))}") from error


def allowed_file(text: str, folders: list[Path]) -> Path:
    """The file that a path names once links are followed, where it lies below one of the folders."""
    if "://" in text:
        raise Refused(f"{short(text)!r} is an address: save the image below a folder given as --allow")
    try:
        path, roots = Path(text).expanduser().resolve(), [folder.expanduser().resolve() for folder in folders]
    except (OSError, ValueError, RuntimeError) as error:
        raise Refused(f"{short(repr(text))} is no path: {short(error)}") from error
    if not any(path.is_relative_to(root) for root in roots):
        raise Refused(f"{short(text)!r} leads outside the folders given as --allow")
    if not path.is_file():
        raise Refused(f"there is no reference {short(text)}")
    if path.stat().st_size > MOST_BYTES:
        raise Refused(f"{short(text)!r} has {path.stat().st_size:,} bytes, at most {MOST_BYTES:,} are read")
    return path


def rewritten(data: bytes, name: str, longest: int | None = None) -> bytes:
    """A PNG of an image file's pixels and nothing else."""
    if len(data) > MOST_BYTES:
        raise Refused(f"{short(name)!r} has more than {MOST_BYTES:,} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
            if image.width * image.height > MOST_PIXELS:
                raise Refused(
                    f"{short(name)!r} has {image.width} x {image.height} pixels, at most {MOST_PIXELS:,} are read"
                )
            image = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Refused(f"{short(name)!r} is no PNG, JPEG or WebP image that can be read: {short(error)}") from error
    if longest:
        image.thumbnail((longest, longest))
    Image.frombytes("RGB", image.size, image.tobytes()).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def checked(arguments: Any) -> dict[str, Any]:
    """A call's arguments with the defaults of `image_prompt_tool.json`, held against its schema."""
    schema = TOOL["inputSchema"]
    if not isinstance(arguments, dict):
        raise Refused(f"the call is {short(arguments)}, expected an object of arguments")
    known = schema["properties"]
    if wrong := [name for name in arguments if name not in known]:
        raise Refused(f"unknown arguments {short(wrong)}; there are {list(known)}")
    if missing := [name for name in schema["required"] if name not in arguments]:
        raise Refused(f"missing arguments {missing}")
    for name, value in arguments.items():
        rule = known[name]
        if isinstance(value, bool) or not isinstance(value, KINDS[rule["type"]]):
            raise Refused(f"{name} is {short(repr(value))}, expected the type {rule['type']}")
        if rule["type"] == "string" and len(value) > rule.get("maxLength", len(value)):
            raise Refused(f"{name} has {len(value)} characters, at most {rule['maxLength']} are taken")
        if value not in rule.get("enum", [value]):
            raise Refused(f"{name} is {short(repr(value))}, expected one of {rule['enum']}")
        if rule["type"] != "string" and not rule["minimum"] <= value <= rule["maximum"]:
            raise Refused(f"{name} is {value}, expected {rule['minimum']} to {rule['maximum']}")
    return {name: rule["default"] for name, rule in known.items() if "default" in rule} | arguments


def upload(server: str, png: bytes) -> str:
    """Puts a picture into ComfyUI's input folder; returns its name there."""
    line, name = uuid.uuid4().hex, f"{uuid.uuid4().hex}.png"
    head = f'--{line}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
    body = head.encode() + png + f"\r\n--{line}--\r\n".encode()
    answer = json.loads(ask(f"{server}/upload/image", body, f"multipart/form-data; boundary={line}"))
    return answer["name"]


def filled(graph: dict[str, Any], call: dict[str, Any], reference: str) -> dict[str, Any]:
    """The graph with a call's values in it; nodes are found by their titles, so any graph with these titles will do."""
    by_title: dict[str, list[str]] = {}
    for name, node in graph.items():
        by_title.setdefault(node["_meta"]["title"], []).append(name)
    if missing := [title for title in (*NEEDED, call["purpose"]) if title not in by_title]:
        raise Refused(f"the graph has no node titled {', '.join(missing)}: docs/api.md lists the titles")

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
            raise Refused(short(failed[0]["exception_message"]) if failed else "the run was interrupted")
        time.sleep(0.2)
    raise Refused(f"the picture was not done after {seconds:.0f} s")


def keep(out: Path, png: bytes) -> Path:
    """Writes a picture under a name of its own, whole or not at all."""
    file = out / f"ip-adapter-{uuid.uuid4().hex[:12]}.png"
    partial = file.with_suffix(".partial")
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(png)
        os.replace(partial, file)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise Refused(f"{short(out)} cannot be written: {short(error.strerror or error)}") from error
    return file


def image_prompt(
    server: str, graph: dict[str, Any], folders: list[Path], out: Path, call: dict[str, Any]
) -> dict[str, Any]:
    """One call of the tool: makes the picture, fetches it into `out`, returns its place and scores."""
    path = allowed_file(call["reference"], folders)
    reference = rewritten(path.read_bytes(), path.name, LONGEST_SIDE)
    shown = run(server, filled(graph, call, upload(server, reference)))
    entry = shown["Picture"]["images"][0]
    file = keep(out, rewritten(ask(f"{server}/view?{urllib.parse.urlencode(entry)}"), "ComfyUI's image"))
    row = json.loads(shown["Scores"]["text"][0])["rows"][0]
    scores = {"similarity": row["references"][0], **{name: row[name] for name in ("palette", "prompt", "sharpness")}}
    return {"picture": str(file), "scores": scores} | {name: call[name] for name in ("weight", "purpose", "seed")}


def main() -> int:
    """Reads a call from the command line, or from the standard input as an agent's."""
    given = parsed()
    own = {name: value for name in TOOL["inputSchema"]["properties"] if (value := getattr(given, name)) is not None}
    try:
        call = checked(json.loads(sys.stdin.read(MOST_BYTES)) if given.tool else own)
        named = [] if given.tool else [Path(call["reference"]).expanduser().resolve().parent]
        graph = json.loads(given.graph.read_text(encoding="utf-8"))
        answer = image_prompt(server_address(given.server, given.remote), graph, given.allow or named, given.out, call)
    except (Refused, json.JSONDecodeError, OSError) as error:
        answer = {"error": str(error)}
    except (LookupError, TypeError, ValueError) as error:
        answer = {"error": f"the graph or ComfyUI's answer is not what docs/api.md says: {short(repr(error))}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if "error" in answer else 0


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--remote", action="store_true", help="--server may be another machine")
    parser.add_argument("--graph", type=Path, default=HERE / "image_prompt_sdxl.json", help="a graph in API format")
    parser.add_argument("--allow", type=Path, action="append", default=[], help="a folder to read from; may repeat")
    parser.add_argument("--out", type=Path, default=Path("."), help="the folder for the picture")
    parser.add_argument("--tool", action="store_true", help="read the call as JSON from the standard input")
    for name, rule in TOOL["inputSchema"]["properties"].items():
        kind = {"number": float, "integer": int}.get(rule["type"], str)
        parser.add_argument(f"--{name}", type=kind, help=rule["description"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
