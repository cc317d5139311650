"""A workflow file as nodes and links, whichever of the two formats it has, and back again."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..workflows.declared import WIDGETS, declared
from ..workflows.node import Node, Output, drawn
from ..workflows.sizes import size_of

ASLEEP = (2, 4)  # modes of nodes that are muted or bypassed
INSIDE, OUTSIDE = "-10", "-20"  # the ends of a subgraph
LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
BELOW = 60  # pixels from the node whose place a new one takes


class Source(NamedTuple):
    """An output of a node."""

    node: str
    slot: int


@dataclass
class Found:
    """A node: its kind, its inputs, values and `Source`s alike, and as what it stands in the file.

    A new one has no entry; `near` is the node that it stands in for.
    """

    kind: str
    inputs: dict[str, Any]
    entry: dict[str, Any] = field(default_factory=dict)
    near: str = ""

    @property
    def asleep(self) -> bool:
        """Whether it is muted or bypassed."""
        return self.entry.get("mode") in ASLEEP

    def links(self) -> Iterator[tuple[str, Source]]:
        """Inputs that come from other nodes."""
        return ((name, value) for name, value in self.inputs.items() if isinstance(value, Source))


Nodes = dict[str, Found]
Infos = dict[str, dict[str, Any]]  # what `object_info` says of each kind


class ApiFile:
    """The format that programs post."""

    def __init__(self, content: dict[str, Any]):
        self.content = content

    def read(self, _: Infos) -> Nodes:
        """Every node."""
        return {
            name: Found(entry["class_type"], {key: _linked(value) for key, value in entry["inputs"].items()}, entry)
            for name, entry in self.content.items()
        }

    def written(self, nodes: Nodes, _: Infos) -> dict[str, Any]:
        """The file with these nodes."""
        return {
            name: {
                **copy.deepcopy(node.entry),
                "class_type": node.kind,
                "inputs": {key: list(one) if isinstance(one, Source) else one for key, one in node.inputs.items()},
            }
            for name, node in nodes.items()
        }


class UiFile:
    """The browser's format; `content` is a workflow, or a subgraph inside one. Values are read for known kinds only."""

    def __init__(self, content: dict[str, Any]):
        self.content = content

    def read(self, infos: Infos) -> Nodes:
        """Every node, with its links by the names of its inputs; what leaves a subgraph is a node, too."""
        links = self._links()
        sources = {link["id"]: Source(str(link["origin_id"]), link["origin_slot"]) for link in links}
        nodes = {}
        for entry in self.content["nodes"]:
            inputs = _widget_values(entry, infos[entry["type"]]) if entry["type"] in infos else {}
            slots = entry.get("inputs") or ()
            inputs |= {slot["name"]: sources[slot["link"]] for slot in slots if slot.get("link") in sources}
            nodes[str(entry["id"])] = Found(entry["type"], inputs, entry)
        leaving = {str(link["target_slot"]): sources[link["id"]] for link in links if str(link["target_id"]) == OUTSIDE}
        return nodes | ({OUTSIDE: Found(OUTSIDE, dict(leaving))} if leaving else {})

    def written(self, nodes: Nodes, infos: Infos) -> dict[str, Any]:
        """The file with these nodes, new ones drawn where the old ones stood, and every link made anew."""
        content = copy.deepcopy(self.content)
        places = {str(entry["id"]): entry["pos"] for entry in content["nodes"]}
        inside = {name: node for name, node in nodes.items() if name != OUTSIDE}
        entries = {name: _entry(name, node, infos, places, order) for order, (name, node) in enumerate(inside.items())}
        links = self._made(nodes, entries)
        for name, entry in entries.items():
            for slot, output in enumerate(entry.get("outputs") or ()):
                output["links"] = _numbers(links, "origin", (name, slot))
        as_rows = not self.content["links"] or isinstance(self.content["links"][0], list)
        content["nodes"] = list(entries.values())
        content["links"] = [[link[key] for key in LINK] for link in links] if as_rows else links
        _count(content, links, inside)
        _name_ends(content, links)
        return content

    def _links(self) -> list[dict[str, Any]]:
        return [
            dict(link) if isinstance(link, dict) else dict(zip(LINK, link, strict=False))
            for link in self.content["links"]
        ]

    def _made(self, nodes: Nodes, entries: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Links that were there keep their numbers."""
        before = self._links()
        leaving = {str(link["target_slot"]): link for link in before if str(link["target_id"]) == OUTSIDE}
        number = max((link["id"] for link in before), default=0)
        links = []
        for name, node in nodes.items():
            for place, key, slot in _ends(name, node, entries, leaving):
                source = node.inputs.get(key)
                if not isinstance(source, Source):
                    slot["link"] = None
                    continue
                if slot.get("link") is None:
                    number += 1
                    slot["link"] = number
                outputs = entries.get(source.node, {}).get("outputs") or []
                kind = outputs[source.slot]["type"] if source.slot < len(outputs) else slot["type"]
                row = (slot["link"], int(source.node), source.slot, int(name), place, kind)
                links.append(dict(zip(LINK, row, strict=True)))
        return links


Ends = list[tuple[int, str, dict[str, Any]]]


def _ends(name: str, node: Found, entries: dict[str, dict[str, Any]], leaving: dict[str, dict[str, Any]]) -> Ends:
    """Where links of a node end: the slot's place, the input's name, and what holds the link's number."""
    if name == OUTSIDE:
        return [(int(key), key, {"link": leaving[key]["id"], "type": leaving[key]["type"]}) for key in node.inputs]
    return [(place, slot["name"], slot) for place, slot in enumerate(entries[name].get("inputs") or ())]


def _numbers(links: list[dict[str, Any]], end: str, where: tuple[str, int]) -> list[int]:
    return [link["id"] for link in links if (str(link[f"{end}_id"]), link[f"{end}_slot"]) == where]


def _linked(value: Any) -> Any:
    link = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)
    return Source(*value) if link else value


def _entry(name: str, node: Found, infos: Infos, places: dict[str, Any], order: int) -> dict[str, Any]:
    if node.entry:
        return copy.deepcopy(node.entry)
    somewhere = Node(0, "", {})
    given = {key: Output(somewhere, 0) if isinstance(value, Source) else value for key, value in node.inputs.items()}
    place = places.get(node.near) or (0, 0)
    across, down = (place["0"], place["1"]) if isinstance(place, dict) else place[:2]  # both are found in files
    made = Node(int(name), node.kind, given)
    entry = drawn(made, infos, (int(across), int(down) + BELOW, *size_of(made, infos)), order)
    growing = [key for key in given if "." in key]
    for key in growing:
        entry["inputs"] = [slot for slot in entry["inputs"] if slot["name"] != key.partition(".")[0]]
    entry["inputs"] += [{"name": key, "type": "IMAGE_PROMPT", "link": None} for key in growing]
    return entry


def _count(content: dict[str, Any], links: list[dict[str, Any]], nodes: Nodes) -> None:
    last = (max((int(name) for name in nodes), default=0), max((link["id"] for link in links), default=0))
    for place, names in (
        (content, ("last_node_id", "last_link_id")),
        (content.get("state", {}), ("lastNodeId", "lastLinkId")),
    ):
        for key, value in zip(names, last, strict=True):
            if key in place:
                place[key] = max(value, place[key])


def _name_ends(content: dict[str, Any], links: list[dict[str, Any]]) -> None:
    """A subgraph lists the links at both of its ends."""
    for ends, node, slot in (("inputs", INSIDE, "origin"), ("outputs", OUTSIDE, "target")):
        for place, end in enumerate(content.get(ends) or ()):
            if isinstance(end, dict) and "linkIds" in end:
                end["linkIds"] = _numbers(links, slot, (node, place))


def _widget_values(entry: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """The values of an entry by name: its list is in the order of the widgets, and may end early in old files."""
    values = entry.get("widgets_values") or []
    if isinstance(values, dict):
        return dict(values)
    names = [name for name, kind, options in declared(info) if kind in WIDGETS and not options.get("forceInput")]
    return dict(zip(names, values, strict=False))
