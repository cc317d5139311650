"""Texts, names of new files and JSON as they come through a socket."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, cast

from ..errors import InputError
from ..limits import FOLDERS, JSON_DEPTH, NAME_BYTES, TEXT
from ..quoting import quoted

UNWRITABLE = re.compile(r"[\0\ud800-\udfff]")  # a null character, and halves of characters that no file can hold
CONTROL = re.compile(r"[\0-\x1f\x7f]")


def read_text(value: Any, where: str) -> str:
    """A text that can be written to a file; raises `InputError` otherwise."""
    if not isinstance(value, str) or len(value) > TEXT or UNWRITABLE.search(value):
        raise InputError(
            f"{where}: found '{quoted(value)}', expected a text of at most {TEXT} characters without null characters and "
            "broken surrogates: change the node connected there"
        )
    return value


def read_file_prefix(value: Any, where: str) -> str:
    """The beginning of a new file's name, with folders before it, below the output folder; raises `InputError` otherwise."""
    text = read_text(value, where)
    parts = (*PurePosixPath(text.replace("\\", "/")).parts,)
    fits = all(len(part.encode()) <= NAME_BYTES and part != ".." for part in parts) and len(parts) <= FOLDERS + 1
    if not fits or PurePosixPath(text).is_absolute() or PureWindowsPath(text).anchor or CONTROL.search(text):
        raise InputError(
            f"{where}: found '{quoted(text)}', expected a name of at most {NAME_BYTES} bytes, below at most {FOLDERS} folders, "
            "that stays inside the output folder: change it, for example to 'style/prompt'"
        )
    return text


def read_json(text: str, where: str) -> Any:
    """What a JSON text says, with finite numbers and little nesting; raises `InputError` otherwise."""
    try:
        value = json.loads(read_text(text, where))
        if not _plain(value):
            raise ValueError("a number that is not finite, or more nesting than is allowed")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: found '{quoted(text)}', which is no JSON that can be kept ({quoted(str(error))}), expected the scores "
            f"of Score Images, finite numbers and at most {JSON_DEPTH} levels: connect its scores output"
        ) from error
    return value


def _plain(value: Any) -> bool:
    """Whether every number is finite and nothing lies too deep."""
    level: list[Any] = [value]
    for _ in range(JSON_DEPTH):
        if any(isinstance(one, float) and not math.isfinite(one) for one in level):
            return False
        level = [inner for one in level for inner in _inside(one)]
    return not level


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast(dict[str, Any], value).values()
    return cast(list[Any], value) if isinstance(value, list) else ()
