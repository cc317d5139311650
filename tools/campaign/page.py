"""The page: one HTML file that holds everything it shows, sorts and filters by score, and asks nobody for anything."""

import base64
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .sheet import thumbnail

Entry = dict[str, Any]
SIDE = 160  # pixels of a thumbnail
SHOWN = ("state", "file", "reference", "prompt", "weight", "seed", "purpose", "scores", "seconds", "worker", "problem")
TEMPLATE = Path(__file__).with_name("page.html")


def page_of(title: str, entries: Sequence[Entry], read: Callable[[str], bytes]) -> bytes:
    """The page of a manifest's entries; `read` opens their files."""
    rows = [{name: entry.get(name) for name in SHOWN} | {"image": _data(entry, read)} for entry in entries]
    data = json.dumps({"title": title, "rows": rows}, separators=(",", ":"), ensure_ascii=True)
    harmless = data.replace("<", "\\u003c")  # no text of a prompt can end the script that it stands in
    return TEMPLATE.read_text(encoding="utf-8").replace("__DATA__", harmless).encode()


def _data(entry: Entry, read: Callable[[str], bytes]) -> str:
    if not entry.get("file"):
        return ""
    thumbnail(read(entry["file"]), SIDE).save(buffer := io.BytesIO(), "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
