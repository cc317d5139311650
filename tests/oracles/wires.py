"""Where ComfyUI's frontend draws the wires of a workflow file: points along each curve.

Source: Comfy-Org/ComfyUI_frontend 1.58.1, src/lib/litegraph/src: LGraphCanvas.renderLink, Reroute.calculateAngle. Slots stand
where LGraphNode.getInputPos and getOutputPos say; an input that is a widget stands at its row, here the middle of the widgets.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

TITLE, SLOT, FIRST, FARTHEST, STEPS = 30, 20, 14, 80, 40

Point = tuple[float, float]


class Box(NamedTuple):
    """Left, top, right and bottom of a node with its title."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, point: Point, edge: float = 0) -> bool:
        """Whether a point is inside, further than `edge` from its border."""
        inside = self.left + edge < point[0] < self.right - edge
        return inside and self.top + edge < point[1] < self.bottom - edge

    def meets(self, other: "Box") -> bool:
        """Whether they overlap."""
        return (self.left < other.right and other.left < self.right) and (
            self.top < other.bottom and other.top < self.bottom
        )


def boxes(workflow: dict[str, Any]) -> dict[int, Box]:
    """Each node by its number."""
    return {
        node["id"]: Box(
            node["pos"][0], node["pos"][1] - TITLE, node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1]
        )
        for node in workflow["nodes"]
    }


def frame(group: dict[str, Any]) -> Box:
    """A group's rectangle."""
    x, y, width, height = group["bounding"]
    return Box(x, y, x + width, y + height)


def curves(workflow: dict[str, Any]) -> Iterator[tuple[int, int, list[Point]]]:
    """Of each link the nodes at its ends and points along it."""
    reroutes = {one["id"]: one for one in workflow["extra"].get("reroutes", [])}
    ends = {one["id"]: one["parentId"] for one in workflow["extra"].get("linkExtensions", [])}
    nodes = {node["id"]: node for node in workflow["nodes"]}
    paths = {link[0]: _path(link, nodes, reroutes, ends) for link in workflow["links"]}
    following: dict[int, list[Point]] = {}
    for link in workflow["links"]:
        numbers, points = _chain(link[0], reroutes, ends), paths[link[0]]
        for place, number in enumerate(numbers, 1):
            following.setdefault(number, []).append(points[place + 1])
    for link in workflow["links"]:
        numbers, points = _chain(link[0], reroutes, ends), paths[link[0]]
        pulls = [_pull(points[place], points[place + 1], following[number]) for place, number in enumerate(numbers)]
        yield link[1], link[3], list(_along(points, pulls))


def _chain(link: int, reroutes: dict[int, Any], ends: dict[int, int]) -> list[int]:
    numbers, number = [], ends.get(link)
    while number is not None:
        numbers.append(number)
        number = reroutes[number].get("parentId")
    return numbers[::-1]


def _path(link: list[Any], nodes: dict[int, Any], reroutes: dict[int, Any], ends: dict[int, int]) -> list[Point]:
    _, source, output, target, slot, _ = link
    between = [tuple(reroutes[number]["pos"]) for number in _chain(link[0], reroutes, ends)]
    x, y = nodes[source]["pos"]
    start = (x + nodes[source]["size"][0], y + FIRST + SLOT * output)
    inputs = nodes[target]["inputs"]
    sockets = [one for one in inputs if "widget" not in one]
    x, y = nodes[target]["pos"]
    row = FIRST + SLOT * sockets.index(inputs[slot]) if inputs[slot] in sockets else nodes[target]["size"][1] / 2
    return [start, *between, (x, y + row)]


def _pull(before: Point, here: Point, following: list[Point]) -> Point:
    """The control point of a reroute, relative to it."""
    mean = sum(math.atan2(one[1] - here[1], one[0] - here[0]) for one in following) / len(following)
    came = math.atan2(here[1] - before[1], here[0] - before[0])
    half = (came - mean) / 2
    if abs(half) > math.pi / 2:
        half += math.pi
    far = min(FARTHEST, math.dist(before, here) / 4)
    return -far * math.cos(came - half), -far * math.sin(came - half)


def _along(points: list[Point], pulls: list[Point]) -> Iterator[Point]:
    """A cubic curve between each two points."""
    for place, (start, end) in enumerate(zip(points, points[1:], strict=False)):
        aside = math.dist(start, end) / 4
        pulled = pulls[place - 1] if place else (-aside, 0)
        pulling = pulls[place] if place < len(pulls) else (-aside, 0)
        first = (start[0] - pulled[0], start[1] - pulled[1])
        last = (end[0] + pulling[0], end[1] + pulling[1])
        for step in range(STEPS + 1):
            t = step / STEPS
            parts = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3)
            yield tuple(
                sum(k * p[axis] for k, p in zip(parts, (start, first, last, end), strict=True)) for axis in (0, 1)
            )
