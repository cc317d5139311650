"""A workflow as the browser's file of format 0.4: nodes drawn where the layout puts them, links, frames and the note."""

import itertools
from typing import Any

from .app import App
from .layout import LANE, TITLE, Layout, laid_out
from .node import Node, Output, drawn
from .note import TITLE as NOTE_TITLE
from .note import note_of
from .sizes import size_of
from .wires import Wire, between, routed
from .zones import COLOURS, Zone

Drawing = dict[str, Any]
FONT = 24  # of a frame's title
NOTE_COLOURS = {"color": "#432", "bgcolor": "#653"}  # ComfyUI's own for notes


def page_of(nodes: list[Node], object_info: dict[str, Any], app: App | None = None) -> Drawing:
    """The file; slots and the order of widgets come from the server's `object_info`."""
    layout = laid_out(nodes, object_info)
    entries = placed(nodes, object_info, layout)
    wires = linked(nodes, entries)
    layout = laid_out(nodes, object_info, between(wires, layout))
    for number, entry in entries.items():
        body = layout.bodies[number]
        entry["pos"] = [body.x, body.y]
    links = [
        [one.number, one.source, one.output, one.target, one.input, entries[one.source]["outputs"][one.output]["type"]]
        for one in wires
    ]
    notes = _note(nodes, layout)
    extra = routed(wires, layout, entries) | (app.as_kept() if app else {})
    last = {"last_node_id": len(nodes) + len(notes), "last_link_id": len(links)}
    return {
        **last, "nodes": [*entries.values(), *notes], "links": links, "groups": _frames(layout), "config": {},
        "extra": extra, "version": 0.4,
    }  # fmt: skip


def placed(nodes: list[Node], object_info: dict[str, Any], layout: Layout) -> dict[int, Drawing]:
    """The nodes as the browser keeps them, by their numbers."""
    places = {number: (body.x, body.y, body.width, body.height) for number, body in layout.bodies.items()}
    return {node.number: drawn(node, object_info, places[node.number], order) for order, node in enumerate(nodes)}


def linked(nodes: list[Node], entries: dict[int, Drawing]) -> list[Wire]:
    """The links between nodes, each told to both."""
    numbers, wires = itertools.count(1), []
    for node in nodes:
        for slot, entry in enumerate(entries[node.number]["inputs"]):
            value = node.inputs.get(entry["name"])
            if isinstance(value, Output):
                wire = Wire(next(numbers), value.node.number, value.slot, node.number, slot)
                entry["link"] = wire.number
                entries[value.node.number]["outputs"][value.slot]["links"].append(wire.number)
                wires.append(wire)
    return wires


def _note(nodes: list[Node], layout: Layout) -> list[Drawing]:
    """The note in a list, below the models; none where there is nothing to say."""
    text = note_of(nodes)
    if not text:
        return []
    note = Node(len(nodes) + 1, "MarkdownNote", {"text": text}, NOTE_TITLE)
    above = layout.frames.get(Zone.MODELS) or next(iter(layout.frames.values()))
    place = (above.x, above.bottom + TITLE + LANE, *size_of(note, {}))
    return [drawn(note, {}, place, len(nodes)) | NOTE_COLOURS]


def _frames(layout: Layout) -> list[Drawing]:
    """A coloured frame for each zone."""
    return [
        {
            "id": number, "title": zone.value, "bounding": [one.x, one.y, one.width, one.height], "color": COLOURS[zone],
            "font_size": FONT, "flags": {},
        }
        for number, (zone, one) in enumerate(layout.frames.items(), 1)
    ]  # fmt: skip
