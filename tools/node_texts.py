"""The words that our nodes show, read from their schemas: what help pages and translations are compared with."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..nodes import NODES
from ..nodes.folders import register_folders

MAIN_CATEGORY = "IP-Adapter Core"


@dataclass(frozen=True)
class Slot:
    """An input or output: its name, its tooltip, and the values that a choice offers."""

    name: str
    tooltip: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeText:
    """Everything that one node says."""

    identity: str
    title: str
    category: str
    description: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]

    def words(self) -> list[str]:
        """Each text and each name in the order of the node, with repetitions."""
        slots = [*self.inputs, *self.outputs]
        return [self.title, self.description, *(word for slot in slots for word in (slot.name, slot.tooltip))]


def native_nodes() -> list[NodeText]:
    """The texts of every native node, in the order in which the pack lists them."""
    register_folders()  # the loaders' schemas list files
    return [_text(node.GET_SCHEMA()) for node in NODES if node.GET_SCHEMA().node_id.startswith("IPAdapterCore")]


def categories(nodes: list[NodeText]) -> list[str]:
    """The parts of the nodes' categories, each once."""
    return list(dict.fromkeys(part for node in nodes for part in node.category.split("/")))


def _text(schema: Any) -> NodeText:
    inputs = tuple(Slot(one.id, one.tooltip or "", _options(one)) for one in schema.inputs)
    outputs = tuple(Slot(one.display_name or one.id or one.io_type, one.tooltip or "") for one in schema.outputs)
    return NodeText(schema.node_id, schema.display_name, schema.category, schema.description, inputs, outputs)


def _options(declared: Any) -> tuple[str, ...]:
    """The values of a choice."""
    options = getattr(declared, "options", None) or []
    return tuple(str(one.value if isinstance(one, Enum) else one) for one in options)
