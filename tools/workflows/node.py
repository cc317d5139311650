"""A node of a workflow, and as the browser keeps it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .declared import NOTE, declared, default, has_control, is_widget

OURS = "IPAdapterCore"  # how the names of this pack's nodes begin
PACK, CORE = "ipadapter-core", "comfy-core"  # in ComfyUI's registry
CORE_MODULES = ("nodes", "comfy_extras", "comfy_api_nodes")


class Output(NamedTuple):
    """One output of a node, to be another's input."""

    node: "Node"
    slot: int


@dataclass
class Node:
    """A node with its inputs, values and `Output`s alike; `models` are the files that it wants, for the browser.

    `labels` are what widgets are called in place of their names.
    """

    number: int
    kind: str
    inputs: dict[str, Any]
    title: str | None = None
    models: list[dict[str, str]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, slot: int) -> Output:
        return Output(self, slot)

    def depth(self) -> int:
        """How many nodes stand before it."""
        return 1 + max((value.node.depth() for value in self.inputs.values() if isinstance(value, Output)), default=-1)


def from_pack(kind: str, info: dict[str, Any]) -> dict[str, str]:
    """Which pack a node is from, by its name in ComfyUI's registry: who lacks it is told there what to install."""
    if kind.startswith(OURS):
        return {"cnr_id": PACK}
    return {"cnr_id": CORE} if (info.get("python_module") or "").split(".")[0] in CORE_MODULES else {}


def drawn(node: Node, object_info: dict[str, Any], place: tuple[int, int, int, int], order: int) -> dict[str, Any]:
    """A node as the browser keeps it, its links still to be made; `place` is where it stands, and how large it is."""
    info = object_info.get(node.kind, NOTE)
    slots, values = [], []
    for name, kind, options in declared(info, node.inputs):
        widget = is_widget(kind, options)
        if widget:
            value = node.inputs.get(name)
            values.append(default(kind, options) if value is None or isinstance(value, Output) else value)
            values += ["fixed"] if has_control(name, kind, options) else []
            values += ["image"] if options.get("image_upload") else []
        if not widget or isinstance(node.inputs.get(name), Output) or name in node.labels:
            label = {"label": node.labels[name]} if name in node.labels else {}
            slots.append(
                {"name": name, **label, "type": kind, "link": None} | ({"widget": {"name": name}} if widget else {})
            )
    outputs = [
        {"name": name, "type": kind, "links": [], "slot_index": slot}
        for slot, (name, kind) in enumerate(zip(info["output_name"], info["output"], strict=True))
    ]
    properties: dict[str, Any] = {} if info is NOTE else {"Node name for S&R": node.kind} | from_pack(node.kind, info)
    if node.models:
        properties["models"] = node.models
    entry = {
        "id": node.number, "type": node.kind, "pos": list(place[:2]), "size": list(place[2:]), "flags": {},
        "order": order, "mode": 0, "inputs": slots, "outputs": outputs, "properties": properties, "widgets_values": values,
    }  # fmt: skip
    return entry | ({"title": node.title} if node.title else {})
