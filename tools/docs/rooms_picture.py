"""docs/images/rooms.svg: the rooms of the pack on floors, each above the rooms that it imports, read from the source."""

import ast
from html import escape
from pathlib import Path

from ..environment import ROOT

FILE = ROOT / "docs" / "images" / "rooms.svg"
BOX, GAP, WIDE = (196, 74), (18, 44), 6  # width and height, space between, and how many stand beside one another
LINE = 34, 4  # characters in a line of a box, and lines
Arrows = dict[str, set[str]]


def pages() -> dict[Path, str]:
    """The image, as `dev.py docs` writes it."""
    return {FILE: drawing(direct(arrows()), texts())}


def room_of(parts: tuple[str, ...]) -> str:
    """The room that a module is in: a folder or a file of ipadapter_core, or a top-level folder."""
    return Path(parts[1]).stem if parts[0] == "ipadapter_core" and len(parts) > 1 else parts[0]


def arrows() -> Arrows:
    """Which room imports which."""
    found: Arrows = {}
    for file in [*(ROOT / "ipadapter_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]:
        parts = file.relative_to(ROOT).parts
        if parts != ("ipadapter_core", "__init__.py"):
            own = found.setdefault(room_of(parts), set())
            own |= {room_of(target) for target in imported_modules(file)} - {room_of(parts), "ipadapter_core"}
    return found


def imported_modules(file: Path) -> list[tuple[str, ...]]:
    """What a file's relative imports lead to, as parts of a path below the repository."""
    package = file.relative_to(ROOT).parts[:-1]
    targets: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            targets += [(*base, *name.split(".")) for name in names]
    return targets


def direct(found: Arrows) -> Arrows:
    """Only the arrows that no longer way says already."""

    def below(room: str) -> set[str]:
        return found[room].union(*(below(one) for one in found[room])) if found[room] else set()

    return {room: {one for one in to if not any(one in below(other) for other in to)} for room, to in found.items()}


def floors(found: Arrows) -> list[list[str]]:
    """The rooms by floor, lowest first: each stands above every room that it imports."""

    def height(room: str) -> int:
        return 1 + max((height(one) for one in found[room]), default=-1)

    heights = {room: height(room) for room in found}
    return [sorted(room for room, at in heights.items() if at == floor) for floor in range(max(heights.values()) + 1)]


def texts() -> dict[str, str]:
    """What each room says of itself: the first line of its package or file."""
    core = ROOT / "ipadapter_core"
    files = {path.parent.name: path for path in core.glob("*/__init__.py")} | {
        one.stem: one for one in core.glob("*.py")
    }
    files["nodes"] = ROOT / "nodes" / "__init__.py"
    docs = {room: ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) for room, file in files.items()}
    return {room: (doc or "").partition("\n")[0].replace("`", "") for room, doc in docs.items()}


def drawing(found: Arrows, said: dict[str, str]) -> str:
    """The image as SVG."""
    rows = [row[at : at + WIDE] for row in reversed(floors(found)) for at in range(0, len(row), WIDE)]
    width = WIDE * (BOX[0] + GAP[0]) + GAP[0]
    places: dict[str, tuple[float, int]] = {}
    for level, row in enumerate(rows):
        start = (width - len(row) * (BOX[0] + GAP[0]) + GAP[0]) / 2
        for at, room in enumerate(row):
            places[room] = (start + at * (BOX[0] + GAP[0]), GAP[1] + level * (BOX[1] + GAP[1]))
    lines = [_arrow(places[room], places[one]) for room, to in sorted(found.items()) for one in sorted(to)]
    boxes = [_box(room, places[room], said.get(room, "")) for room in sorted(places)]
    height = GAP[1] + len(rows) * (BOX[1] + GAP[1])
    style = "text{font:11px sans-serif;fill:#333}.name{font-weight:bold;font-size:13px}rect{fill:#fff;stroke:#567}"
    style += "line{stroke:#9ab;stroke-width:1.2}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{style}</style>'
    paper = f'<rect width="{width}" height="{height}" style="fill:#f6f8fa;stroke:none"/>'
    return "\n".join([head, paper, *lines, *boxes, "</svg>"]) + "\n"


def _arrow(upper: tuple[float, int], lower: tuple[float, int]) -> str:
    (x1, y1), (x2, y2) = upper, lower
    return f'<line x1="{x1 + BOX[0] / 2:g}" y1="{y1 + BOX[1]}" x2="{x2 + BOX[0] / 2:g}" y2="{y2}"/>'


def _box(room: str, place: tuple[float, int], text: str) -> str:
    x, y = place
    lines = wrapped(text)
    spans = "".join(
        f'<text x="{x + 8:g}" y="{y + 31 + 12 * at}">{escape(line)}</text>' for at, line in enumerate(lines)
    )
    name = f'<text class="name" x="{x + 8:g}" y="{y + 17}">{room}</text>'
    return f'<g><rect x="{x:g}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="6"/>{name}{spans}</g>'


def wrapped(text: str) -> list[str]:
    """A room's text in lines that fit its box; raises `ValueError` where they are too many."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if len(longer) <= LINE[0] else [*lines, word]
    if len(lines) > LINE[1]:
        raise ValueError(f"the first line of a room is too long for docs/images/rooms.svg, shorten it: {text}")
    return lines
