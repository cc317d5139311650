"""Several nodes as one: a subgraph blueprint, as the browser keeps it and ComfyUI serves it from `subgraphs/`.

Source of the format: Comfy-Org/ComfyUI 0.30.0, blueprints/*.json, and app/subgraph_manager.py.
"""

import itertools
import uuid
from dataclasses import dataclass, field
from typing import Any

from .graph import Graph, Node, Output
from .layout import GUTTER, laid_out
from .page import placed

INSIDE, OUTSIDE = -10, -20  # ids of the two ends of a subgraph
SPACE = uuid.UUID("9b9d1c5e-6f0b-4d27-9a3c-2f1c3f6f7d10")  # names are made into ids, the same each time
END = [120, 60]  # width and height of either end


@dataclass(frozen=True)
class Socket:
    """An input or an output of the whole, by its name and type."""

    name: str
    type: str


@dataclass
class Blueprint:
    """Nodes inside, what goes in and comes out, and the widgets that are shown outside: a node and its input's name."""

    name: str
    description: str
    inputs: tuple[Socket, ...]
    graph: Graph = field(default_factory=Graph)
    outputs: tuple[tuple[Socket, Output], ...] = ()
    widgets: tuple[tuple[Node, str], ...] = ()

    def given(self, name: str) -> Output:
        """An input of the whole, to be that of a node inside."""
        slot = [socket.name for socket in self.inputs].index(name)
        return Output(Node(INSIDE, "inputs", {}), slot)

    @property
    def id(self) -> str:
        """The same for the same name."""
        return str(uuid.uuid5(SPACE, self.name))


def blueprint_file(blueprint: Blueprint, object_info: dict[str, Any]) -> dict[str, Any]:
    """The file: one node, and what it consists of."""
    return {
        "revision": 0, "last_node_id": 1, "last_link_id": 0, "nodes": [whole(blueprint, 1)], "links": [], "version": 0.4,
        "definitions": {"subgraphs": [definition(blueprint, object_info)]}, "extra": {},
    }  # fmt: skip


def whole(blueprint: Blueprint, number: int) -> dict[str, Any]:
    """The node that stands for all of them."""
    rows = len(blueprint.inputs) + len(blueprint.widgets)
    return {
        "id": number, "type": blueprint.id, "pos": [0, 0], "size": [340, 100 + 32 * rows], "flags": {}, "order": 0, "mode": 0,
        "title": blueprint.name,
        "inputs": [{"name": one.name, "type": one.type, "link": None} for one in blueprint.inputs],
        "outputs": [{"name": one.name, "type": one.type, "links": []} for one, _ in blueprint.outputs],
        "properties": {"proxyWidgets": [[str(node.number), name] for node, name in blueprint.widgets]},
        "widgets_values": [],
    }  # fmt: skip


def definition(blueprint: Blueprint, object_info: dict[str, Any]) -> dict[str, Any]:
    """What the node consists of."""
    layout = laid_out(blueprint.graph.nodes, object_info)
    entries = placed(blueprint.graph.nodes, object_info, layout)
    nodes, links = list(entries.values()), _links(blueprint, entries)
    right = max(one.right for one in layout.bodies.values()) + GUTTER
    ends = {
        "inputNode": {"id": INSIDE, "bounding": [-200, 0, *END]},
        "outputNode": {"id": OUTSIDE, "bounding": [right, 0, *END]},
    }
    last = {"lastNodeId": len(nodes), "lastLinkId": len(links), "lastGroupId": 0, "lastRerouteId": 0}
    return {
        "id": blueprint.id, "version": 1, "state": last, "revision": 0, "config": {}, "name": blueprint.name, **ends,
        "inputs": [_end(blueprint, one, _going(links, "origin", INSIDE, slot), [-100, 20 + 20 * slot])
                   for slot, one in enumerate(blueprint.inputs)],
        "outputs": [_end(blueprint, one, _going(links, "target", OUTSIDE, slot), [right + 20, 20 + 20 * slot])
                    for slot, (one, _) in enumerate(blueprint.outputs)],
        "widgets": [], "nodes": nodes, "groups": [], "links": links, "extra": {}, "category": "IP-Adapter Core",
        "description": blueprint.description,
    }  # fmt: skip


def _links(blueprint: Blueprint, entries: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every link inside, those from and to the ends among them; the slots of nodes are told."""
    numbers, links = itertools.count(1), []

    def link(value: Output, target: int, slot: int, kind: str) -> int:
        number, source = next(numbers), value.node.number
        if source != INSIDE:
            entries[source]["outputs"][value.slot]["links"].append(number)
        origin = {"origin_id": source, "origin_slot": value.slot}
        links.append({"id": number, **origin, "target_id": target, "target_slot": slot, "type": kind})
        return number

    for node in blueprint.graph.nodes:
        for slot, entry in enumerate(entries[node.number]["inputs"]):
            value = node.inputs.get(entry["name"])
            if isinstance(value, Output):
                entry["link"] = link(value, node.number, slot, entry["type"])
    for slot, (socket, value) in enumerate(blueprint.outputs):
        link(value, OUTSIDE, slot, socket.type)
    return links


def _going(links: list[dict[str, Any]], side: str, end: int, slot: int) -> list[int]:
    return [one["id"] for one in links if one[f"{side}_id"] == end and one[f"{side}_slot"] == slot]


def _end(blueprint: Blueprint, socket: Socket, links: list[int], place: list[int]) -> dict[str, Any]:
    name = f"{blueprint.name}/{socket.name}/{socket.type}"
    return {
        "id": str(uuid.uuid5(SPACE, name)), "name": socket.name, "type": socket.type, "linkIds": links, "pos": place,
    }  # fmt: skip
