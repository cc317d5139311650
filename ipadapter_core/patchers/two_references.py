"""Style from one reference and composition from another."""

from typing import NamedTuple

from torch import Tensor

from comfy.model_patcher import ModelPatcher

from ..application import Strength
from ..host import ManagedAdapter
from ..image_prompt import ImagePrompt
from ..weights.layers import LayerWeights
from ..weights.presets import LayerPreset
from .apply import apply_image_prompt


class Sources(NamedTuple):
    """Where style and composition come from and how strongly; with `expand_style` every other layer takes style, too."""

    style: ImagePrompt
    composition: ImagePrompt
    style_weight: float = 1.0
    composition_weight: float = 1.0
    expand_style: bool = False


def apply_style_and_composition(
    model: ModelPatcher,
    adapter: ManagedAdapter,
    sources: Sources,
    strength: Strength,
    mask: Tensor | None = None,
    per_frame: bool = False,
) -> ModelPatcher:
    """A clone of `model` whose composition layers attend to one prompt and whose style layers to the other.

    The weights are multiplied with that of `strength`. Raises what `apply_image_prompt` raises.
    """
    style_layers = LayerPreset.STRONG_STYLE if sources.expand_style else LayerPreset.STYLE
    for prompt, weight, layers in (
        (sources.style, sources.style_weight, style_layers),
        (sources.composition, sources.composition_weight, LayerPreset.COMPOSITION),
    ):
        model = apply_image_prompt(
            model, adapter, prompt, strength, mask, per_frame, LayerWeights(layers, weight=weight)
        )
    return model
