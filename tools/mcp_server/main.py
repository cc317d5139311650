"""`python3 dev.py mcp`: the command line of the server."""

import argparse
import json
import sys
from pathlib import Path

from ..comfyui.client import ComfyClient
from ..comfyui.titled import TitleError, checked
from ..environment import ROOT
from .refusal import Folders, Refused, server_address
from .shelf import Shelf

DEMO_GRAPH = ROOT / "docs" / "examples" / "image_prompt_demo.json"
MISSING = "dev.py mcp needs the package mcp: pip install -r tools/mcp_server/requirements.txt"


def main(argv: list[str]) -> int:
    """Serves the tools over standard input and output until the host closes them."""
    given = _parse(argv)
    try:
        import mcp  # noqa: F401 - asked for first, so that its absence is one sentence
    except ModuleNotFoundError:
        print(MISSING, file=sys.stderr)
        return 1
    from .studio import Studio
    from .tools import server_of

    try:
        client = ComfyClient(server_address(given.server, given.remote))
        graph = checked(json.loads(given.graph.read_text(encoding="utf-8")))
        folders = Folders(tuple(folder.resolve(strict=True) for folder in given.allow))
    except (Refused, TitleError, OSError, ValueError) as error:
        print(f"dev.py mcp: {error}", file=sys.stderr)
        return 1
    server_of(Studio(client, graph, Shelf(given.home.resolve()), folders)).run("stdio")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py mcp", description=main.__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="ComfyUI's address")
    parser.add_argument("--remote", action="store_true", help="--server may be another machine")
    parser.add_argument("--graph", type=Path, default=DEMO_GRAPH, help="a workflow in API format (docs/api.md)")
    parser.add_argument("--allow", type=Path, action="append", default=[], help="a folder to read from; may repeat")
    parser.add_argument("--home", type=Path, default=ROOT / "output" / "agents", help="where characters and images go")
    return parser.parse_args(argv)
