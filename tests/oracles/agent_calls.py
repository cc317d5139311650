"""An agent before a stand-in of ComfyUI: a folder that it may read, what lies in and outside of it, and its calls."""

import asyncio
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import mcp
from mcp.types import CallToolResult
from pack.tools.comfyui.client import ComfyClient
from pack.tools.mcp_server import main, pixels
from pack.tools.mcp_server.refusal import Folders
from pack.tools.mcp_server.shelf import Shelf
from pack.tools.mcp_server.studio import Studio
from pack.tools.mcp_server.tools import server_of
from PIL import Image

GRAPH = json.loads(main.DEMO_GRAPH.read_text(encoding="utf-8"))


def studio(folder: Path, url: str) -> Studio:
    """A studio that may read `given/` and keeps its own in `home/`."""
    return Studio(ComfyClient(url), GRAPH, Shelf(folder / "home"), Folders(((folder / "given").resolve(),)))


def call(studio: Studio, tool: str, **arguments: Any) -> CallToolResult:
    """One call through the protocol, in memory."""

    async def over():
        async with mcp.Client(server_of(studio)) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(over())


def kept(folder: Path) -> list[str]:
    """The files of the server's own folder."""
    return sorted(str(file.relative_to(folder / "home")) for file in (folder / "home").rglob("*") if file.is_file())


def give_images(folder: Path) -> None:
    """Puts a good reference into `given/`, beside what is none and what leads outside."""
    given = folder / "given"
    given.mkdir()
    Image.new("RGB", (32, 24), "red").save(given / "red.png")
    (given / "words.png").write_text("not an image")
    (given / "huge.png").write_bytes(png_header(20_000, 20_000))
    (given / "wide.png").write_bytes(png_header(8_000, 8_000))
    Image.new("RGB", (8, 8)).save(folder / "outside.png")
    (given / "link.png").symlink_to(folder / "outside.png")
    with (given / "long.png").open("wb") as file:
        file.truncate(pixels.MOST_BYTES + 1)
    if hasattr(os, "mkfifo"):
        os.mkfifo(given / "pipe.png")


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that says it is this large."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + b"\0\0\0\0IDAT" + bytes(64)
