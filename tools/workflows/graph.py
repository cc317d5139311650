"""Workflows as data: nodes and links once, as an API prompt or as a workflow file that opens in the browser."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
GROWING, CHOOSING = "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3"
COLUMN, ROW, SLOT, WIDGET, HEAD = 400, 60, 24, 32, 70


class Output(NamedTuple):
    """One output of a node, to be another's input."""

    node: "Node"
    slot: int


@dataclass
class Node:
    """A node with its inputs, values and `Output`s alike; `models` are the files that it wants, for the browser."""

    number: int
    kind: str
    inputs: dict[str, Any]
    title: str | None = None
    models: list[dict[str, str]] = field(default_factory=list)

    def __getitem__(self, slot: int) -> Output:
        return Output(self, slot)

    def depth(self) -> int:
        """How many nodes stand before it."""
        return 1 + max((value.node.depth() for value in self.inputs.values() if isinstance(value, Output)), default=-1)


class Graph:
    """A growing workflow."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(
        self, kind: str, title: str | None = None, models: list[dict[str, str]] | None = None, /, **inputs: Any
    ) -> Node:
        """One more node; its `node[0]`, `node[1]` ... are the inputs of later ones."""
        node = Node(len(self.nodes) + 1, kind, inputs, title, models or [])
        self.nodes.append(node)
        return node

    def prompt(self) -> dict[str, dict[str, Any]]:
        """The API format; notes are left out."""
        return {
            str(node.number): {
                "class_type": node.kind,
                "inputs": {
                    name: [str(value.node.number), value.slot] if isinstance(value, Output) else value
                    for name, value in node.inputs.items()
                },
                "_meta": {"title": node.title or node.kind},
            }
            for node in self.nodes
            if node.kind != "MarkdownNote"
        }

    def workflow(self, object_info: dict[str, Any]) -> dict[str, Any]:
        """The browser's format 0.4; slots and the order of widgets come from the server's `object_info`."""
        places = placed(self.nodes, object_info)
        entries = [drawn(node, object_info, places[node.number], order) for order, node in enumerate(self.nodes)]
        by_number = {node["id"]: node for node in entries}
        links = []
        numbers = itertools.count(1)
        for node in self.nodes:
            for slot, entry in enumerate(by_number[node.number]["inputs"]):
                value = node.inputs.get(entry["name"])
                if isinstance(value, Output):
                    link = next(numbers)
                    output = by_number[value.node.number]["outputs"][value.slot]
                    entry["link"] = link
                    output["links"].append(link)
                    links.append([link, value.node.number, value.slot, node.number, slot, output["type"]])
        last = {"last_node_id": len(self.nodes), "last_link_id": len(links)}
        return {**last, "nodes": entries, "links": links, "groups": [], "config": {}, "extra": {}, "version": 0.4}


def drawn(node: Node, object_info: dict[str, Any], place: tuple[int, int], order: int) -> dict[str, Any]:
    """A node as the browser keeps it, its links still to be made."""
    info = object_info.get(node.kind, _NOTE)
    slots, values = [], []
    for name, kind, options in declared(info, node.inputs):
        widget = kind in WIDGETS and not options.get("forceInput")
        if widget:
            value = node.inputs.get(name)
            values.append(_default(kind, options) if value is None or isinstance(value, Output) else value)
            values += ["fixed"] if _has_control(name, kind, options) else []
            values += ["image"] if options.get("image_upload") else []
        if not widget or isinstance(node.inputs.get(name), Output):
            slots.append({"name": name, "type": kind, "link": None} | ({"widget": {"name": name}} if widget else {}))
    outputs = [
        {"name": name, "type": kind, "links": [], "slot_index": slot}
        for slot, (name, kind) in enumerate(zip(info["output_name"], info["output"], strict=True))
    ]
    properties: dict[str, Any] = {} if info is _NOTE else {"Node name for S&R": node.kind}
    if node.models:
        properties["models"] = node.models
    entry = {
        "id": node.number, "type": node.kind, "pos": list(place), "size": [340, _height(node, info)], "flags": {},
        "order": order, "mode": 0, "inputs": slots, "outputs": outputs, "properties": properties, "widgets_values": values,
    }  # fmt: skip
    return entry | ({"title": node.title} if node.title else {})


_NOTE: dict[str, Any] = {"input": {"required": {"text": ["STRING", {}]}}, "output": [], "output_name": []}


Declared = tuple[str, str, dict[str, Any]]


def declared(info: dict[str, Any], given: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Declared]:
    """Name, type and options of each input of a node, in order; inputs that grow as far as they are `given`."""
    for name, kind, options in _sections(info["input"]):
        if kind == GROWING:
            _, grown, of_each = next(_sections(options["template"]["input"]))
            yield from ((one, grown, of_each) for one in given if one.startswith(f"{name}."))
        elif kind == CHOOSING:
            keys = [option["key"] for option in options["options"]]
            chosen = given.get(name, keys[0])
            yield name, "COMBO", {"options": keys}
            inner = _sections(options["options"][keys.index(chosen)]["inputs"])
            yield from ((f"{name}.{one}", kind, of_each) for one, kind, of_each in inner)
        else:
            yield name, kind, options


def _sections(inputs: dict[str, Any]) -> Iterator[Declared]:
    for section in ("required", "optional"):
        for name, (kind, *rest) in inputs.get(section, {}).items():
            yield name, "COMBO" if isinstance(kind, list) else kind, (rest[0] if rest else {})


def _has_control(name: str, kind: str, options: dict[str, Any]) -> bool:
    """Whether the browser puts a "control after generate" behind the widget: as declared, else by the name of a seed."""
    declared = options.get("control_after_generate")
    return kind == "INT" and (name in ("seed", "noise_seed") if declared is None else bool(declared))


def _default(kind: str, options: dict[str, Any]) -> Any:
    empty = {
        "INT": 0,
        "FLOAT": 0.0,
        "STRING": "",
        "BOOLEAN": False,
        "COMBO": next(iter(options.get("options", [])), None),
    }
    return options.get("default", empty[kind])


def _height(node: Node, info: dict[str, Any]) -> int:
    """As much as either way of drawing nodes needs: sockets beside outputs, a row for each widget below them."""
    entries = list(declared(info, node.inputs))
    widgets = [entry for entry in entries if entry[1] in WIDGETS and not entry[2].get("forceInput")]
    rows = max(len(entries) - len(widgets), len(info["output"]))
    long_text = any(options.get("multiline") for _, _, options in entries) or node.kind == "MarkdownNote"
    picture = node.kind in ("LoadImage", "PreviewImage", "SaveImage", "IPAdapterCoreEncode")
    return HEAD + SLOT * rows + WIDGET * len(widgets) + (120 if long_text else 0) + (260 if picture else 0)


def placed(nodes: list[Node], object_info: dict[str, Any]) -> dict[int, tuple[int, int]]:
    """Each node in the column before the first that needs it, columns filled from above."""
    places, filled = {}, {}
    columns = {node.number: node.depth() for node in nodes}
    for node in reversed(nodes):
        users = [user for user in nodes if any(isinstance(v, Output) and v.node is node for v in user.inputs.values())]
        columns[node.number] = min((columns[user.number] - 1 for user in users), default=columns[node.number])
    for node in nodes:
        column = columns[node.number]
        top = filled.get(column, 0)
        places[node.number] = (column * COLUMN, top)
        filled[column] = top + _height(node, object_info.get(node.kind, _NOTE)) + ROW
    return places
