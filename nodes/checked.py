"""What all nodes share: whatever comes through a socket is checked, by the kind that the schema declares, before they run."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from comfy_api.latest import io, ui

from ..ipadapter_core.errors import InputError
from ..ipadapter_core.inputs.masks import is_black
from ..ipadapter_core.warn_once import warn_once
from .connections import connected_node
from .socket_readers import READERS

Execute = Callable[..., io.NodeOutput]


class Declared(NamedTuple):
    """A node as its schema has it: its name, its inputs by name, those of dynamic choices among them, and if all are lists."""

    name: str
    inputs: Mapping[str, io.Input]
    lists: bool


class CheckedNode(io.ComfyNode):
    """A node whose `execute` gets only what `read` has let through.

    Nodes that `reads_alpha` look at transparency themselves; all others get transparent images laid on grey. Those that
    `takes_lists` also take a list of numbers where a number is declared. `further_inputs` are those that only programs give.
    """

    reads_alpha = False
    takes_lists = False
    further_inputs: Mapping[str, io.Input] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        """Puts the check before the node's own `execute`; ComfyUI copies classes to run them, and a copy has it already."""
        super().__init_subclass__(**more)
        own = vars(cls).get("execute")
        execute: Any = getattr(own, "__func__", None)
        if execute is not None and not hasattr(execute, "__wrapped__"):
            cls.execute = classmethod(_after_reading(execute))  # pyright: ignore[reportAttributeAccessIssue] - one class method for another

    @classmethod
    def read(cls, name: str, value: Any) -> Any:
        """An input's value as the node may use it; raises `InputError` where there is no such."""
        node = declared(cls)
        one = node.inputs.get(name) or cls.further_inputs.get(name)
        if one is None or value is None:
            return value
        if isinstance(one, io.DynamicCombo.Input) and isinstance(value, Mapping):
            return {inner: cls.read(inner, part) for inner, part in cast(Mapping[str, Any], value).items()}
        reader = READERS.get(one.io_type)
        if reader is None:
            return value
        where = f"{name} of {node.name}"
        parts = (
            [(f"entry {place} of {where}", part) for place, part in enumerate(value)]
            if node.lists
            else [(where, value)]
        )
        try:
            read = [part if part is None else reader(cls, one, part, place) for place, part in parts]
        except InputError as error:
            source = connected_node(name)
            error.args = (f"{error}; connected is {source}",) if source else error.args
            raise
        return read if node.lists else read[0]


def _after_reading(execute: Execute) -> Execute:
    """The same `execute` behind the check; what there is to say about the inputs is shown on nodes that show nothing else."""
    _, *names = (one.name for one in inspect.signature(execute).parameters.values() if one.kind is not one.VAR_KEYWORD)

    @functools.wraps(execute)
    def run(cls: type[CheckedNode], *given: Any, **named: Any) -> io.NodeOutput:
        placed = dict(zip(names, given, strict=False)) | named
        inputs = {name: cls.read(name, value) for name, value in placed.items()}
        made = execute(cls, **inputs)
        notes = _notes(declared(cls), inputs)
        if notes and not made.ui:
            made.ui = ui.PreviewText("\n".join(notes))
        return made

    return run


def _notes(node: Declared, inputs: Mapping[str, Any]) -> list[str]:
    """What is no error and yet worth a word, which is also said in the log."""
    masks = {name: value for name, value in inputs.items() if _is_mask(node, name)}
    for value in inputs.values():
        if isinstance(value, Mapping):
            inner = cast(Mapping[str, Any], value)
            masks |= {name: part for name, part in inner.items() if _is_mask(node, name)}
    notes = [
        f"{name} of {node.name} is black everywhere and leaves nothing of the reference. Load Image gives such a mask where "
        f"nothing was drawn: draw one, or leave {name} unconnected"
        for name, mask in masks.items()
        if mask is not None and is_black(mask)
    ]
    for note in notes:
        warn_once(note)
    return notes


def _is_mask(node: Declared, name: str) -> bool:
    one = node.inputs.get(name)
    return one is not None and one.io_type == io.Mask.io_type


_known: dict[Any, Declared] = {}


def declared(cls: type[CheckedNode]) -> Declared:
    """What the schema says of a node, read once: the choices, which depend on files, do not matter here."""
    key = cls.define_schema.__func__  # the same for the copies that ComfyUI makes
    if key not in _known:
        schema = cls.define_schema()
        inputs = {one.id: one for top in schema.inputs for one in top.get_all()}
        _known[key] = Declared(schema.display_name or schema.node_id, inputs, schema.is_input_list)
    return _known[key]
