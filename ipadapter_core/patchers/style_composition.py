"""Style from one reference and composition from another."""

from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from comfy.model_patcher import ModelPatcher

from ..adapter.managed import ManagedAdapter
from ..prompt.image_prompt import ImagePrompt
from ..sampling.strength import Strength
from ..weights.layer_presets import LayerPreset
from ..weights.layer_weights import LayerWeights
from .apply import apply_image_prompt

STYLE, STRONG_STYLE, COMPOSITION = LayerPreset.STYLE, LayerPreset.STRONG_STYLE, LayerPreset.COMPOSITION


class Sources(NamedTuple):
    """Where style and composition come from and how strongly; with `expand_style` every other layer takes style, too.

    For UNets whose blocks no preset knows, or to taste, the layers of either can be given.
    """

    style: ImagePrompt
    composition: ImagePrompt
    style_weight: float = 1.0
    composition_weight: float = 1.0
    expand_style: bool = False
    style_layers: LayerWeights | None = None
    composition_layers: LayerWeights | None = None


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
    style = sources.style_layers or LayerWeights(STRONG_STYLE if sources.expand_style else STYLE)
    composition = sources.composition_layers or LayerWeights(COMPOSITION)
    for prompt, weight, layers in (
        (sources.style, sources.style_weight, style),
        (sources.composition, sources.composition_weight, composition),
    ):
        own = replace(strength, weight=strength.weight * weight)
        model = apply_image_prompt(model, adapter, prompt, own, mask, per_frame, layers)
    return model
