"""Layer weight presets as data: rules over the order of blocks, and tables over the blocks of the UNets that we know.

A block here is one SpatialTransformer of ComfyUI's UNet, by the name that ComfyUI gives its place: "input 4", "middle",
"output 3". Sources: the measured behaviour of ComfyUI_IPAdapter_plus (9d076a3), `weight_type`; InstantStyle (Wang et al.
2024, arXiv 2404.02733), whose two SDXL blocks are the style and the composition block below; InvokeAI (05ab8c0),
invokeai/app/invocations/ip_adapter.py, by diffusers' names: down_blocks.b.attentions.a is input 1 + 3 b + a, and
up_blocks.b.attentions.a is output 3 b + a.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class LayerPreset(str, Enum):
    """Ready-made layer weights."""

    LINEAR = "linear"
    EASE_IN = "ease in"
    EASE_OUT = "ease out"
    EASE_IN_OUT = "ease in-out"
    REVERSE_IN_OUT = "reverse in-out"
    WEAK_INPUT = "weak input"
    WEAK_MIDDLE = "weak middle"
    WEAK_OUTPUT = "weak output"
    STRONG_MIDDLE = "strong middle"
    STYLE = "style transfer"
    COMPOSITION = "composition"
    STRONG_STYLE = "strong style transfer"
    STYLE_AND_COMPOSITION = "style and composition"
    STRONG_STYLE_AND_COMPOSITION = "strong style and composition"
    PRECISE_STYLE = "style transfer precise"
    PRECISE_COMPOSITION = "composition precise"
    FIRST_HALF = "first half of the blocks"
    SECOND_HALF = "second half of the blocks"
    FIRST_THIRD = "first third of the blocks"
    MIDDLE_THIRD = "middle third of the blocks"
    LAST_THIRD = "last third of the blocks"
    DOUBLE = "double blocks only"
    SINGLE = "single blocks only"
    INVOKE_STYLE = "InvokeAI style"
    INVOKE_COMPOSITION = "InvokeAI composition"
    INVOKE_STRONG_STYLE = "InvokeAI strong style"
    INVOKE_PRECISE_STYLE = "InvokeAI precise style"


@dataclass(frozen=True)
class BlockRef:
    """Where a block is: its part of the UNet, its number there, and its index among the `count` blocks that run."""

    part: str
    number: int
    index: int
    count: int

    @property
    def name(self) -> str:
        """As users write it."""
        return self.part if self.part == "middle" else f"{self.part} {self.number}"


class Share(NamedTuple):
    """A block's multiplier, `first` times the preset's weight plus `second` times its second weight.

    An injected block acts in the negative pass only, where it shows the reference: what it shows is guided away from.
    """

    first: float = 0.0
    second: float = 0.0
    injected: bool = False


def _away_from_middle(place: BlockRef) -> float:
    half = place.count / 2
    return abs(place.index - half) / half


def _weak(*parts: str) -> Callable[[BlockRef], float]:
    return lambda place: 0.2 if place.part in parts else 1.0


def _between(start: float, end: float) -> Callable[[BlockRef], float]:
    """The blocks whose middle lies in a part of the run, 0 to 1: ranges that share a border share no block."""
    return lambda place: float(start <= (place.index + 0.5) / place.count < end)


def _only(part: str) -> Callable[[BlockRef], float]:
    return lambda place: float(place.part == part)


RULES: dict[LayerPreset, Callable[[BlockRef], float]] = {
    LayerPreset.LINEAR: lambda place: 1.0,
    LayerPreset.EASE_IN: lambda place: 0.05 + 0.95 * (1 - place.index / place.count),
    LayerPreset.EASE_OUT: lambda place: 0.05 + 0.95 * (place.index / place.count),
    LayerPreset.EASE_IN_OUT: lambda place: 0.05 + 0.95 * (1 - _away_from_middle(place)),
    LayerPreset.REVERSE_IN_OUT: lambda place: 0.05 + 0.95 * _away_from_middle(place),
    LayerPreset.WEAK_INPUT: _weak("input"),
    LayerPreset.WEAK_MIDDLE: _weak("middle"),
    LayerPreset.WEAK_OUTPUT: _weak("output"),
    LayerPreset.STRONG_MIDDLE: _weak("input", "output"),
    LayerPreset.FIRST_HALF: _between(0, 1 / 2),
    LayerPreset.SECOND_HALF: _between(1 / 2, 1),
    LayerPreset.FIRST_THIRD: _between(0, 1 / 3),
    LayerPreset.MIDDLE_THIRD: _between(1 / 3, 2 / 3),
    LayerPreset.LAST_THIRD: _between(2 / 3, 1),
    LayerPreset.DOUBLE: _only("double"),
    LayerPreset.SINGLE: _only("single"),
}


class Role(Enum):
    """What a block does to the image, as far as a table says; `REST` is every block that it does not name."""

    STYLE = "style"
    COMPOSITION = "composition"
    SOME_COMPOSITION = "some composition"
    SOME_STYLE = "some style"
    REST = "rest"


Roles = dict[Role, tuple[str, ...]]


def _numbered(part: str, *numbers: int) -> tuple[str, ...]:
    return tuple(f"{part} {number}" for number in numbers)


BLOCKS: dict[str, tuple[str, ...]] = {
    "SD1.5": (*_numbered("input", 1, 2, 4, 5, 7, 8), "middle", *_numbered("output", *range(3, 12))),
    "SDXL": (*_numbered("input", 4, 5, 7, 8), "middle", *_numbered("output", *range(6))),
}
TRANSFORMER_BLOCKS: dict[str, tuple[str, ...]] = {  # what style and composition mean is not established for these
    "FLUX.1 and Chroma": (*_numbered("double", *range(19)), *_numbered("single", *range(38))),
    "FLUX.1 by XLabs": _numbered("double", *range(19)),
    "SD3.5 Large": _numbered("block", *range(38)),
    "Anima": _numbered("block", *range(28)),
}
PLUS: dict[str, Roles] = {
    "SD1.5": {
        Role.STYLE: _numbered("input", 1, 2, 4, 5) + _numbered("output", *range(5, 12)),
        Role.COMPOSITION: ("input 8",),
        Role.SOME_COMPOSITION: ("input 7",),
    },
    "SDXL": {Role.STYLE: ("output 1",), Role.COMPOSITION: ("input 8",)},
}
INVOKE: dict[str, Roles] = {
    "SD1.5": {
        Role.STYLE: _numbered("output", 3, 4, 5),
        Role.COMPOSITION: ("input 7", "input 8", "middle"),
        Role.SOME_STYLE: _numbered("input", 1, 2, 4, 5) + _numbered("output", 6, 7, 8),
    },
    "SDXL": {
        Role.STYLE: ("output 1",),
        Role.COMPOSITION: ("input 8",),
        Role.SOME_STYLE: _numbered("input", 4, 5, 7) + _numbered("output", 0, 2, 3, 4, 5),
    },
}


class Table(NamedTuple):
    """A preset by roles: which blocks have which role, and the share of each role; roles that are not named are silent."""

    roles: dict[str, Roles]
    shares: dict[Role, Share]


_QUARTER, _TENTH = 0.25, 0.1
TABLES: dict[LayerPreset, Table] = {
    LayerPreset.STYLE: Table(PLUS, {Role.STYLE: Share(1)}),
    LayerPreset.COMPOSITION: Table(PLUS, {Role.COMPOSITION: Share(1), Role.SOME_COMPOSITION: Share(_QUARTER)}),
    LayerPreset.STRONG_STYLE: Table(PLUS, {Role.STYLE: Share(1), Role.REST: Share(1)}),
    LayerPreset.STYLE_AND_COMPOSITION: Table(
        PLUS,
        {
            Role.STYLE: Share(1),
            Role.COMPOSITION: Share(second=1),
            Role.SOME_COMPOSITION: Share(second=_QUARTER),
        },
    ),
    LayerPreset.STRONG_STYLE_AND_COMPOSITION: Table(
        PLUS,
        {
            Role.STYLE: Share(1),
            Role.REST: Share(1),
            Role.COMPOSITION: Share(second=1),
            Role.SOME_COMPOSITION: Share(second=1),
        },
    ),
    LayerPreset.PRECISE_STYLE: Table(
        PLUS,
        {
            Role.STYLE: Share(1),
            Role.COMPOSITION: Share(second=1, injected=True),
            Role.SOME_COMPOSITION: Share(second=_QUARTER, injected=True),
        },
    ),
    LayerPreset.PRECISE_COMPOSITION: Table(
        PLUS,
        {
            Role.STYLE: Share(second=1, injected=True),
            Role.COMPOSITION: Share(1),
            Role.SOME_COMPOSITION: Share(_QUARTER),
            Role.REST: Share(second=_TENTH, injected=True),
        },
    ),
    LayerPreset.INVOKE_STYLE: Table(INVOKE, {Role.STYLE: Share(1)}),
    LayerPreset.INVOKE_COMPOSITION: Table(INVOKE, {Role.COMPOSITION: Share(1)}),
    LayerPreset.INVOKE_STRONG_STYLE: Table(INVOKE, {Role.STYLE: Share(1), Role.SOME_STYLE: Share(1)}),
    LayerPreset.INVOKE_PRECISE_STYLE: Table(
        INVOKE, {Role.STYLE: Share(1), Role.COMPOSITION: Share(second=1, injected=True)}
    ),
}
