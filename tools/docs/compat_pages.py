"""The help pages of the nodes for old workflows, which `nodes/compat/pages.py` writes from one table."""

from pathlib import Path

from ...nodes.compat import OLD_NODES
from ...nodes.compat.pages import page
from ..environment import ROOT


def pages() -> dict[Path, str]:
    """A page for each old node."""
    return {ROOT / "web" / "docs" / f"{node.GET_SCHEMA().node_id}.md": page(node) for node in OLD_NODES}
