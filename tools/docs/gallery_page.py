"""`docs/gallery.md`: every workflow of `workflows/` with its image, what it is for, and the files that it wants."""

from collections.abc import Callable
from pathlib import Path

from ..environment import ROOT
from ..workflows.catalogue import GRAPHS
from ..workflows.graph import Graph

PAGE = ROOT / "docs" / "gallery.md"
HEAD = """# Gallery

The workflows of `workflows/`. In ComfyUI they are in the template browser under *ipadapter-core*, or drag a file from this
folder into the window. All images here are drawn by the [demo world](../demo/README.md), those of workflows for published
weights too: they show what the workflow does, not what the big model can do. Replace `example.png` by your own reference.

By task: [keep a brand's style](brand-style.md) · [keep a character](character.md) · [transfer a style](style-transfer.md) ·
[with a ControlNet](controlnet.md) · [faces](faces.md) · [regions](regions.md) · [animation](animation.md) ·
[from a program](api.md). See also [all supported files](models.md) and [all errors](errors.md).
"""


def pages() -> dict[Path, str]:
    """The page with its text."""
    return {PAGE: "\n".join([HEAD, *(_entry(name, build) for name, build in GRAPHS.items())])}


def _entry(name: str, build: Callable[[], Graph]) -> str:
    title = name.replace("_", " ")
    picture = f"![{title}](../workflows/{name}.jpg)"
    link = f"[workflows/{name}.json](../workflows/{name}.json)"
    text = " ".join((build.__doc__ or "").split())
    return "\n\n".join([f"## {title}", picture, f"{text} {link}", _files(build())]) + "\n"


def _files(graph: Graph) -> str:
    """The files with their folders, or that none is needed."""
    wanted = [file for node in graph.nodes for file in node.models]
    if not wanted:
        return "Needs no download: the models are the demo world's (`python3 dev.py serve`)."
    lines = [f"| [{file['name']}]({file['url']}) | `models/{file['directory']}` |" for file in wanted]
    return "\n".join(["| File | Folder |", "| --- | --- |", *lines])
