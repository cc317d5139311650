"""What all old nodes share: they are the Python classes that they were, and take what workflows of every release hold."""

import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

from comfy_api.latest import io

from ...ipadapter_core.quoting import quoted
from ...ipadapter_core.warn_once import warn_once
from ..checked import CheckedNode
from .inputs import PROGRAM_INPUTS
from .methods import RENAMED, Method
from .words import FORMER, IMPLIED, LATER, Words

Node = TypeVar("Node", bound="type[OldNode]")


class _OfSchema:
    """A class attribute that each class reads off its own schema, where ComfyUI's would be its parent's."""

    def __init__(self, read: Callable[[io.Schema], Any]) -> None:
        self.read = read

    def __get__(self, instance: Any, owner: type[io.ComfyNode]) -> Any:
        return self.read(owner.FINALIZE_SCHEMA())


class OldNode(CheckedNode):
    """A node of ComfyUI_IPAdapter_plus."""

    reads_alpha = True
    takes_lists = True
    further_inputs = {one.id: one for one in PROGRAM_INPUTS}

    FUNCTION: str  # the method that ComfyUI calls
    arguments: frozenset[str] = frozenset()  # of its methods
    RETURN_TYPES = _OfSchema(lambda schema: tuple(one.io_type for one in schema.outputs))
    RETURN_NAMES = _OfSchema(lambda schema: tuple(one.display_name for one in schema.outputs))
    CATEGORY = _OfSchema(lambda schema: schema.category)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        """The inputs, the words of each choice where programs look for them.

        What an id did not ask for in its first release may be missing, and what a word was once called is among the words.
        The browser is not told: it reads the schema.
        """
        schema = cls.FINALIZE_SCHEMA()
        sections = schema.get_v1_info(cls).input
        inputs = {name: {key: _entry(*one) for key, one in section.items()} for name, section in sections.items()}
        for name in LATER.get(schema.node_id, ()):
            inputs.setdefault("optional", {})[name] = inputs["required"].pop(name)
        for name, kind in FORMER.get(schema.node_id, {}).items():
            inputs["optional"].setdefault(name, (kind, {}))
        return inputs

    @classmethod
    def validate_inputs(  # noqa: PLR0913 - an argument for each input whose bounds are only the browser's
        cls,
        weight: Any = 1.0,
        weight_style: Any = 1.0,
        weight_composition: Any = 1.0,
        weight_faceidv2: Any = 1.0,
        weight_kolors: Any = 1.0,
        weight_v2: Any = 1.0,
        image_weight: Any = 1.0,
        style_boost: Any = 1.0,
        composition_boost: Any = 1.0,
    ) -> bool | str:
        """Any finite weight will do: some releases had wider bounds."""
        named = {name: value for name, value in locals().items() if name != "cls"}
        for name, value in named.items():
            if isinstance(value, float | int) and not math.isfinite(value):
                return f"{name}: found {value}, expected a finite number: set {name} of this node to one"
        return True

    @classmethod
    def current(cls, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs by the words of today; those that no node here has are left out, which is said once."""
        declared = {name: one for section in cls.INPUT_TYPES().values() for name, one in section.items()}
        accepted = inspect.signature(cls.execute).parameters
        if any(one.kind is one.VAR_KEYWORD for one in accepted.values()):
            accepted = {*accepted, *declared, *cls.arguments}
        for name in inputs.keys() - set(accepted):
            warn_once(f"the argument {quoted(name)} has no effect here; other releases of the node had it")
        found: dict[str, Any] = {}
        for name, value in inputs.items():
            if name not in accepted:
                continue
            words = declared.get(name, (None,))[0]
            found[name] = words.current(value) if isinstance(words, Words) and isinstance(value, str) else value
            found |= IMPLIED.get(value, {}) if isinstance(value, str) and found[name] != value else {}
        return found


def _entry(kind: Any, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
    more = dict(options or {})
    if "options" not in more:
        return kind, more
    words = Words(more["options"])
    return words, more | {"options": words}


def called_as(*methods: Method) -> Callable[[Node], Node]:
    """Gives a node its old methods; ComfyUI calls the first of them, too, so that there is one way in."""

    def decorate(node: Node) -> Node:
        node.FUNCTION = methods[0].name
        node.arguments = frozenset(RENAMED.get(name, name) for one in methods for order in one.orders for name in order)
        for one in methods:
            setattr(node, one.name, _door(one))
        return node

    return decorate


def _door(method: Method) -> Any:
    def call(cls: type[OldNode], *given: Any, **named: Any) -> tuple[Any, ...]:
        made = cls.execute(**cls.current(method.inputs(given, named)))
        return (*made.args, *[None] * method.results)[: method.results]

    call.__name__ = method.name
    return classmethod(call)
