"""Where the nodes of a workflow stand: columns from left to right, the image prompt above the text, a frame for each zone."""

from dataclasses import dataclass
from typing import Any

from .node import Node
from .sizes import TITLE, WIDTH, size_of
from .zones import COLOURS, Stand, Zone, before, stands

GUTTER, ROW = 180, 24  # between columns, and between nodes above each other
EDGE, HEADING = 24, 44  # between a frame and its nodes: on the sides and below, and above
LANE = 24  # of a wire that passes above nodes


@dataclass(frozen=True)
class Box:
    """A rectangle by its left upper corner, width and height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """Where it ends on the right."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """Where it ends below."""
        return self.y + self.height


@dataclass(frozen=True)
class Layout:
    """Each node's body and stand by its number, and the frame of each zone that has nodes."""

    bodies: dict[int, Box]
    stands: dict[int, Stand]
    frames: dict[Zone, Box]

    def left(self, column: int) -> int:
        """Where a column begins."""
        return column * (WIDTH + GUTTER)


def laid_out(nodes: list[Node], object_info: dict[str, Any], between: int = 0) -> Layout:
    """Places nodes; `between` is how many lanes there are between the image prompt and the text."""
    where = stands(nodes)
    sizes = {node.number: size_of(node, object_info) for node in nodes}
    bodies: dict[int, Box] = {}
    deepest = 0
    for zones in ((Zone.PROMPT,), (Zone.TEXT,), (Zone.MODELS, Zone.IMAGE)):
        top = HEADING + TITLE
        if zones == (Zone.TEXT,) and deepest:
            top += deepest + EDGE + LANE * (between + 1)
        inside = [node for node in nodes if where[node.number].zone in zones]
        _stack(inside, where, sizes, bodies, top)
        deepest = max([0, *(bodies[node.number].bottom for node in inside)]) if zones == (Zone.PROMPT,) else deepest
    return Layout(bodies, where, _frames(bodies, where))


def _stack(
    inside: list[Node], where: dict[int, Stand], sizes: dict[int, tuple[int, int]], bodies: dict[int, Box], top: int
) -> None:
    """Column by column; in each, nodes in the order of those that they read."""
    for column in sorted({where[node.number].column for node in inside}):
        mine = [node for node in inside if where[node.number].column == column]
        mine.sort(key=lambda node: (_height_of_sources(node, bodies), node.number))
        y = top
        for node in mine:
            width, height = sizes[node.number]
            bodies[node.number] = Box(column * (WIDTH + GUTTER), y, width, height)
            y += height + TITLE + ROW


def _height_of_sources(node: Node, bodies: dict[int, Box]) -> float:
    """The mean height of the nodes that it reads, so that few wires cross."""
    heights = [bodies[one.number].y for one in before(node) if one.number in bodies]
    return sum(heights) / len(heights) if heights else 0.0


def _frames(bodies: dict[int, Box], where: dict[int, Stand]) -> dict[Zone, Box]:
    frames = {}
    for zone in COLOURS:
        inside = [bodies[number] for number, stand in where.items() if stand.zone is zone]
        if inside:
            left, top = min(one.x for one in inside) - EDGE, min(one.y for one in inside) - TITLE - HEADING
            right, bottom = max(one.right for one in inside) + EDGE, max(one.bottom for one in inside) + EDGE
            frames[zone] = Box(left, top, right - left, bottom - top)
    return frames
