"""A model family as one row: which models belong to it, where their layers are, and how they are hooked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from comfy.model_patcher import ModelPatcher

from ...adapter.managed import ManagedAdapter
from ...checkpoint.spec import AdapterSpec
from ...sampling.application import Block
from ..hooks.wrappers import Compose


def unchanged(model: ModelPatcher, _adapter: ManagedAdapter) -> ModelPatcher:
    """The model as it is: most families need nothing but their hooks."""
    return model


def untouched(_model: ModelPatcher) -> None:
    """Leaves a model as it is: nothing was readied."""


@dataclass(frozen=True)
class Family:
    """`models` are ComfyUI's classes; `blocks_for` maps an adapter's layers to a network's and raises `ModelMismatchError`
    where they do not fit; `compose` sets the hooks for the length of a model call; `prepare` readies the model once, and
    `restore` takes that out of the very model again, as often as it is called; `sees_text` where its layers attend to the
    text alone, in the tokens of CLIP, so that references can belong to words.
    """

    models: tuple[type[nn.Module], ...]
    blocks_for: Callable[[AdapterSpec, Any], tuple[Block, ...]]
    compose: Compose
    prepare: Callable[[ModelPatcher, ManagedAdapter], ModelPatcher] = unchanged
    restore: Callable[[ModelPatcher], None] = untouched
    sees_text: bool = False
