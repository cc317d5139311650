"""Small workflows of our nodes, executed in this process as ComfyUI executes them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pack.nodes import NODES
from pack.nodes.compat import OLD_NODES

from comfy_api.latest import _io as node_api


def by_id() -> dict[str, Any]:
    """Our nodes, and those for old workflows, by their ids."""
    return {node.GET_SCHEMA().node_id: node for node in (*NODES, *OLD_NODES)}


def execute(node_id: str, **inputs: Any) -> Any:
    """As ComfyUI does it: the schema's inputs, dynamic ones gathered, on a clone of the class."""
    node = by_id()[node_id]
    node.VALIDATE_CLASS()
    *_, dynamic = node_api.get_finalized_class_inputs(node.INPUT_TYPES(), inputs)
    clone = node.PREPARE_CLASS_CLONE(dynamic | {"hidden_inputs": {}})
    return clone.EXECUTE_NORMALIZED(**node_api.build_nested_inputs(inputs, dynamic))


@dataclass(frozen=True)
class Step:
    """A node with what is connected to it or set on it.

    One of ours has its id as `node`; one of ComfyUI's or of another pack has its title, a word about what it loads, and
    `make`, which gives what it would hand on.
    """

    node: str
    inputs: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    make: Callable[[], Any] | None = None
    slot: int = 0

    def value(self) -> Any:
        """The output that is connected."""
        return self.outputs()[self.slot]

    def outputs(self) -> tuple:
        """Executes the node after everything before it."""
        if self.make is not None:
            return (self.make(),)
        given = {name: one.value() if isinstance(one, Step) else one for name, one in self.inputs.items()}
        defaults = {one.id: one.default for one in self._declared() if getattr(one, "default", None) is not None}
        inputs = defaults | given
        if by_id()[self.node].GET_SCHEMA().is_input_list:  # ComfyUI hands over a list of each
            inputs = {name: one if isinstance(one, list) else [one] for name, one in inputs.items()}
        return execute(self.node, **inputs).result

    def lines(self, indent: str = "") -> list[str]:
        """The workflow in words, the last node first."""
        title = by_id()[self.node].GET_SCHEMA().display_name if self.make is None else self.node
        said = [title + (f" ({self.note})" if self.note else "")]
        for name, one in self.inputs.items():
            inner = one.lines(f"{indent}    ") if isinstance(one, Step) else [repr(one)]
            said.append(f"{indent}    {name}: {inner[0]}")
            said += inner[1:]
        return said

    def _declared(self) -> list[Any]:
        return by_id()[self.node].GET_SCHEMA().inputs
