"""Files that may hold a workflow: what is in them, and how to put a new one in its place."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

ENCODINGS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # by byte-order mark
EXPECTED = "expected a workflow of the browser, an API prompt, a request with one, or an image that ComfyUI saved"
EMBEDDED = ("workflow", "prompt")  # the texts of an image, the better one first
PICTURES = (b"\x89PNG", b"\xff\xd8", b"RIFF")


class UnreadableFileError(Exception):
    """The file holds no workflow; the message says what it holds."""


class Read(NamedTuple):
    """A workflow or prompt, and what makes the file's content of a new one."""

    content: dict[str, Any]
    whole: Callable[[dict[str, Any]], Any]


def read(file: Path) -> Read:
    """The workflow in a file; raises `UnreadableFileError` where there is none."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{file.name}: cannot be read ({error.strerror}): give the path of a file") from error
    found = _embedded(data, file.name) if data.startswith(PICTURES) else _parsed(data, file.name)
    return read_content(found, file.name)


def read_content(found: Any, name: str) -> Read:
    """The workflow in parsed JSON."""
    if not isinstance(found, dict):
        kind = f"a list of {len(found)}" if isinstance(found, list) else type(found).__name__
        raise UnreadableFileError(f"{name}: found {kind}, {EXPECTED}: give one workflow at a time")
    inner = found.get("prompt")
    if isinstance(inner, dict) and "class_type" not in inner:
        return Read(read_content(inner, name).content, lambda new: found | {"prompt": new})
    if isinstance(found.get("nodes"), list):
        return Read(_checked_workflow(found, name), lambda new: new)
    return Read(_checked_prompt(found, name), lambda new: new)


def _checked_workflow(found: dict[str, Any], name: str) -> dict[str, Any]:
    if not all(isinstance(one, dict) and {"id", "type"} <= one.keys() for one in found["nodes"]):
        raise UnreadableFileError(f"{name}: found nodes without id or type, {EXPECTED}: save it anew in the browser")
    return {"links": []} | found


def _checked_prompt(found: dict[str, Any], name: str) -> dict[str, Any]:
    wrong = [
        key for key, one in found.items() if not (isinstance(one, dict) and isinstance(one.get("class_type"), str))
    ]
    if wrong or not found:
        what = f"'{wrong[0][:200]}', which is no node" if wrong else "nothing in it"
        raise UnreadableFileError(f"{name}: found {what}, {EXPECTED}: give one of those")
    return {key: {"inputs": {}} | one for key, one in found.items()}


def _parsed(data: bytes, name: str) -> Any:
    encoding = next((word for mark, word in ENCODINGS.items() if data.startswith(mark)), "utf-8")
    try:
        return json.loads(data.decode(encoding))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableFileError(f"{name}: found no JSON{where}, {EXPECTED}: give one of those") from error


def _embedded(data: bytes, name: str) -> Any:
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
            texts = {key: text for key, text in image.info.items() if key in EMBEDDED and isinstance(text, str)}
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableFileError(f"{name}: found a damaged image, {EXPECTED}: give one of those") from error
    for key in EMBEDDED:
        if key in texts:
            return _parsed(texts[key].encode(), f"{name} ({key})")
    raise UnreadableFileError(f"{name}: found an image without a workflow, {EXPECTED}: give one of those")
