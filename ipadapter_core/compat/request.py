"""What the inputs of an apply node of ComfyUI_IPAdapter_plus ask for, and how strongly each part of it acts."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor

from ..encoders.face.encode import PlusVersion
from ..masks.canvas_mask import CanvasMask
from ..prompt.combine import Combination
from ..sampling.polarity import PolarityRule
from ..sampling.strength import Strength
from ..weights.layer_presets import LayerPreset
from ..weights.parsing import read_overrides
from ..weights.scaling import Scaling
from .stretched_mask import StretchedMask, stretched_mask
from .weight_types import PRECISE, TWO_HALVES, OldLayerWeights, Results


@dataclass(frozen=True)
class Request:
    """Inputs by the names that they have there; those that a node does not have keep their defaults.

    `unfold` gives image i of the result reference i alone, as the nodes do whose name ends in Batch.
    """

    image: Tensor | None = None
    weight: float | list[float] = 1.0
    weight_type: str = LayerPreset.LINEAR.value
    combine_embeds: str = Combination.CONCAT.value
    start_at: float = 0.0
    end_at: float = 1.0
    embeds_scaling: str = Scaling.V_ONLY.value
    image_negative: Tensor | None = None
    attn_mask: Tensor | CanvasMask | None = None
    clip_vision: Any = None
    insightface: Any = None
    layer_weights: str = ""
    weight_composition: float = 1.0
    weight_faceidv2: float | None = None
    weight_kolors: float = 1.0
    plus_version: PlusVersion = PlusVersion.AUTO
    style_boost: float | None = None
    composition_boost: float | None = None
    enhance_tiles: int = 1
    enhance_ratio: float = 1.0
    encode_batch_size: int = 0  # ignored: what is encoded together gives the same
    results: Results = Results.CORRECTED
    unfold: bool = False

    @property
    def as_plus(self) -> bool:
        """Whether the results should be as they were."""
        return Results(self.results) is Results.AS_PLUS

    @property
    def mask(self) -> Tensor | CanvasMask | StretchedMask | None:
        """The mask over the result, laid over the layers in the way that is wanted."""
        return stretched_mask(self.attn_mask) if self.as_plus and isinstance(self.attn_mask, Tensor) else self.attn_mask

    @property
    def preset(self) -> LayerPreset:
        """The weight type; a boost stands for the precise ones."""
        if self.style_boost is not None:
            return LayerPreset.PRECISE_STYLE
        return LayerPreset.PRECISE_COMPOSITION if self.composition_boost is not None else LayerPreset(self.weight_type)

    @property
    def strength(self) -> Strength:
        """The weight, one or one for each image of the result, and when it acts.

        There, weights for each image counted in the Batch nodes only; the others took the first for all.
        """
        weights = self.weight if isinstance(self.weight, list) else [self.weight]
        one = len(weights) == 1 or (self.as_plus and not self.unfold)
        return Strength(
            weight=weights[0] if one else 1.0,
            start_percent=self.start_at,
            end_percent=self.end_at,
            frames=None if one else tuple(weights),
            scaling=Scaling(self.embeds_scaling),
            polarity_rule=PolarityRule.BY_INDEX if self.as_plus else PolarityRule.BY_ROLE,
        )


class Half(NamedTuple):
    """The layers of one half of a weight type, and how strongly it acts; other types have one half only."""

    layers: OldLayerWeights
    strength: Strength


def halves(request: Request) -> tuple[Half, ...]:
    """What is applied: one half with the request's weight and, where a second weight stands by itself, one with that."""
    results, strength, preset = Results(request.results), request.strength, request.preset
    if request.layer_weights.strip():
        kept = preset if preset in PRECISE else LayerPreset.LINEAR
        overrides = read_overrides(request.layer_weights)
        return (Half(OldLayerWeights(kept, overrides=overrides, results=results), strength),)
    second = request.weight_composition if preset in TWO_HALVES else _boost(request)
    if second is None:
        return (Half(OldLayerWeights(preset, results=results), strength),)
    return (
        Half(OldLayerWeights(preset, 1.0, 0.0, results=results), strength),
        Half(OldLayerWeights(preset, 0.0, 1.0, results=results), replace(strength, weight=second, frames=None)),
    )


def _boost(request: Request) -> float | None:
    return request.style_boost if request.style_boost is not None else request.composition_boost
