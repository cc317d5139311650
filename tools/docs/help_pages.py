"""The nodes' help pages in `web/docs/`: written by hand, compared with the schemas."""

import re
from pathlib import Path

from ..environment import ROOT
from ..node_texts import NodeText, Slot

PAGES = ROOT / "web" / "docs"
MISTAKES = "## Common mistakes"
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")


def complaints(nodes: list[NodeText]) -> list[str]:
    """What a page and its node disagree about, a line each; empty when all is well."""
    said = [complaint for node in nodes for complaint in _compare(node)]
    known = {node.identity for node in nodes}
    strays = [file.name for file in sorted(PAGES.glob("IPAdapterCore*.md")) if file.stem not in known]
    return said + [f"{name}: there is no such node" for name in strays]


def skeletons(nodes: list[NodeText]) -> dict[Path, str]:
    """A page to begin with for each node that has none; its mistakes are still to be written, and `complaints` says so."""
    return {page_of(node): _skeleton(node) for node in nodes if not page_of(node).is_file()}


def page_of(node: NodeText) -> Path:
    """Where the node's page lies."""
    return PAGES / f"{node.identity}.md"


def table_rows(page: str, heading: str) -> dict[str, str]:
    """The rows of the table under `| heading | |`: the text of each name."""
    rows: dict[str, str] = {}
    _, found, rest = page.partition(f"| {heading} | |\n")
    for line in rest.splitlines()[1:] if found else []:
        if not line.startswith("|"):
            break
        names, text = line.strip("|").split("|", 1)
        rows |= {name: text for name in re.findall(r"`([^`]+)`", names)}
    return rows


def _compare(node: NodeText) -> list[str]:
    file = page_of(node)
    if not file.is_file():
        return [f"{file.name} is missing: python3 dev.py docs writes a beginning"]
    page = file.read_text(encoding="utf-8")
    said = _parts(node, page) + _tables(node, page)
    return [f"{file.name}: {one}" for one in said]


def _parts(node: NodeText, page: str) -> list[str]:
    said = []
    if not page.startswith(f"# {node.title}\n"):
        said.append(f"the title is not '{node.title}'")
    if not re.search(f"^{MISTAKES}\n\n- ", page, re.MULTILINE):
        said.append(f"no list under '{MISTAKES}'")
    pictures = PICTURE.findall(page)
    said += [f"the image {name} is missing" for name in pictures if not (PAGES / name).is_file()]
    return said if pictures else [*said, "no image"]


def _tables(node: NodeText, page: str) -> list[str]:
    said = []
    for heading, slots in (("Input", node.inputs), ("Output", node.outputs)):
        rows = table_rows(page, heading)
        names = [slot.name for slot in slots]
        said += [f"{heading.lower()} `{name}` has no row" for name in names if name not in rows]
        said += [f"the node has no {heading.lower()} `{name}`" for name in rows if name not in names]
        said += [complaint for slot in slots for complaint in _values(slot, rows.get(slot.name, ""))]
    return said


def _values(slot: Slot, text: str) -> list[str]:
    """Values that a choice is said to have and does not; folders and endings of files are no values."""
    if not slot.options:
        return []
    quoted = [one for one in re.findall(r"`([^`]+)`", text) if "/" not in one and not one.startswith(".")]
    return [f"`{slot.name}` has no value `{one}`" for one in quoted if one not in slot.options]


def _skeleton(node: NodeText) -> str:
    tables = [_table("Input", node.inputs), _table("Output", node.outputs)]
    picture = f"![{node.title}](images/{node.identity}.jpg)"
    return "\n\n".join([f"# {node.title}", node.description, picture, *filter(None, tables), MISTAKES]) + "\n"


def _table(heading: str, slots: tuple[Slot, ...]) -> str:
    rows = [f"| `{slot.name}` | {slot.tooltip} |" for slot in slots]
    return "\n".join([f"| {heading} | |", "| --- | --- |", *rows]) if rows else ""
