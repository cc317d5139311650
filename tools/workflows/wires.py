"""How wires go: straight into the next column, else above the nodes between, round corners that the browser calls reroutes.

A wire that passes a column has a lane: above everything, or between the image prompt and the text.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .layout import LANE, Layout
from .sizes import EDGES, SLOT, WIDGET
from .zones import MIDDLE, Zone

ASIDE, APART = 36, 8  # from a node to the corner of the first wire, and from there to the next wire's
STEEP = 300  # a wire that climbs further has a corner at its end, too


class Wire(NamedTuple):
    """A link of the workflow: its number, and where it begins and ends."""

    number: int
    source: int
    output: int
    target: int
    input: int


@dataclass
class Corner:
    """A point that wires go through, behind its parent."""

    number: int
    parent: int | None
    x: int
    y: int
    wires: list[int] = field(default_factory=list)


Net = tuple[int, int]  # a node's output


def between(wires: list[Wire], layout: Layout) -> int:
    """How many lanes are needed between the image prompt and the text."""
    return len({_net(wire) for wire in wires if _is_long(wire, layout) and _is_low(wire, layout)})


def routed(wires: list[Wire], layout: Layout, entries: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The corners and which is the last of each wire, as the browser keeps them in `extra`; `entries` are the drawn nodes."""
    router = _Router(layout, entries)
    long = [wire for wire in wires if _is_long(wire, layout)]
    for low in (False, True):
        mine = [wire for wire in long if _is_low(wire, layout) is low]
        nets = sorted({_net(wire) for wire in mine}, key=lambda net: router.reach(net, mine))
        for lane, net in enumerate(nets):
            router.route(net, [wire for wire in mine if _net(wire) == net], lane, low)
    return router.as_kept()


class _Router:
    """Makes corners."""

    def __init__(self, layout: Layout, entries: dict[int, dict[str, Any]]):
        self.layout, self.entries = layout, entries
        self.corners: list[Corner] = []
        self.last: dict[int, int] = {}
        upper = [layout.bodies[number].bottom for number, one in layout.stands.items() if one.zone is Zone.PROMPT]
        self.floor = layout.frames[Zone.PROMPT].bottom if upper else 0
        self._numbers = itertools.count(1)

    def reach(self, net: Net, wires: list[Wire]) -> tuple[int, int, Net]:
        """What begins further left and ends further right has the outer lane, so that wires cross less."""
        ends = [self.layout.stands[wire.target].column for wire in wires if _net(wire) == net]
        return max(ends), -self.layout.stands[net[0]].column, net

    def route(self, net: Net, wires: list[Wire], lane: int, low: bool) -> None:
        """One output's wires: a trunk in its lane, and a branch down to each input."""
        body, start = self.layout.bodies[net[0]], _slot_height(self.layout.bodies[net[0]].y, net[1])
        y = self.floor + LANE * (lane + 1) if low else -LANE * (lane + 1)
        x = body.right + ASIDE + APART * lane
        trunk: Corner | None = None
        if abs(start - y) > STEEP:
            trunk = self._corner(trunk, x, start, wires)
        trunk = self._corner(trunk, x, y, wires)
        columns = sorted({self.layout.stands[wire.target].column for wire in wires})
        for column in columns:
            rest = [wire for wire in wires if self.layout.stands[wire.target].column >= column]
            arriving = [wire for wire in rest if self.layout.stands[wire.target].column == column]
            trunk = self._corner(trunk, self.layout.left(column) - ASIDE - APART * lane, y, rest)
            for wire in arriving:
                end, branch = self._input_height(wire), trunk
                if abs(end - y) > STEEP:
                    branch = self._corner(trunk, trunk.x, end, [wire])
                self.last[wire.number] = branch.number

    def as_kept(self) -> dict[str, Any]:
        """The two lists of `extra`."""
        if not self.corners:
            return {}
        reroutes = [
            {"id": one.number}
            | ({"parentId": one.parent} if one.parent else {})
            | {"pos": [one.x, one.y], "linkIds": one.wires}
            for one in self.corners
        ]
        ends = [{"id": wire, "parentId": corner} for wire, corner in sorted(self.last.items())]
        return {"reroutes": reroutes, "linkExtensions": ends}

    def _corner(self, parent: Corner | None, x: int, y: int, wires: list[Wire]) -> Corner:
        numbers = [wire.number for wire in wires]
        made = Corner(next(self._numbers), parent.number if parent else None, x, y, numbers)
        self.corners.append(made)
        return made

    def _input_height(self, wire: Wire) -> int:
        entry, y = self.entries[wire.target], self.layout.bodies[wire.target].y
        sockets = [one for one in entry["inputs"] if "widget" not in one]
        mine = entry["inputs"][wire.input]
        if mine in sockets:
            return _slot_height(y, sockets.index(mine))
        return _slot_height(y, max(len(sockets), len(entry["outputs"]))) + WIDGET // 2


def _slot_height(y: int, slot: int) -> int:
    return y + EDGES + SLOT * slot


def _net(wire: Wire) -> Net:
    return wire.source, wire.output


def _is_long(wire: Wire, layout: Layout) -> bool:
    return layout.stands[wire.target].column > layout.stands[wire.source].column + 1


def _is_low(wire: Wire, layout: Layout) -> bool:
    """Whether it may go between the image prompt and the text: from or to the text, past columns of these two alone."""
    source, target = layout.stands[wire.source], layout.stands[wire.target]
    middle = [one.column for one in layout.stands.values() if one.zone in MIDDLE]
    passed = range(source.column + 1, target.column)
    zones = {source.zone, target.zone}
    return Zone.TEXT in zones and Zone.PROMPT not in zones and all(min(middle) <= one <= max(middle) for one in passed)
