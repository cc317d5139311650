"""`python3 dev.py old-pages`: writes the help pages of the nodes of ComfyUI_IPAdapter_plus from the table of them."""

from ..nodes.compat import OLD_NODES
from ..nodes.compat.pages import page
from ..nodes.folders import register_folders
from .server import ROOT


def main(_: list[str]) -> int:
    """Writes every page."""
    register_folders()
    for node in OLD_NODES:
        (ROOT / "web" / "docs" / f"{node.GET_SCHEMA().node_id}.md").write_text(page(node), encoding="utf-8")
    print(f"{len(OLD_NODES)} pages")
    return 0
