"""The weight types of ComfyUI_IPAdapter_plus, for any UNet."""

from dataclasses import dataclass
from enum import Enum

from ..weights.layers import LayerWeight, LayerWeights, known_places, places_of
from ..weights.presets import BLOCKS, RULES, LayerPreset


class Results(str, Enum):
    """Which pictures an old graph shall give."""

    CORRECTED = "corrected"
    AS_PLUS = "as IPAdapter_plus"


WEIGHT_TYPES = (
    LayerPreset.LINEAR, LayerPreset.EASE_IN, LayerPreset.EASE_OUT, LayerPreset.EASE_IN_OUT, LayerPreset.REVERSE_IN_OUT,
    LayerPreset.WEAK_INPUT, LayerPreset.WEAK_OUTPUT, LayerPreset.WEAK_MIDDLE, LayerPreset.STRONG_MIDDLE, LayerPreset.STYLE,
    LayerPreset.COMPOSITION, LayerPreset.STRONG_STYLE, LayerPreset.STYLE_AND_COMPOSITION, LayerPreset.PRECISE_STYLE,
    LayerPreset.PRECISE_COMPOSITION,
)  # fmt: skip
PRECISE = (LayerPreset.PRECISE_STYLE, LayerPreset.PRECISE_COMPOSITION)
TWO_PICTURES = (LayerPreset.STYLE_AND_COMPOSITION, LayerPreset.STRONG_STYLE_AND_COMPOSITION)
UNKNOWN_IS_LIKE = "SD1.5"  # UNets of other make are taken for one, block by block in running order


@dataclass(frozen=True)
class OldLayerWeights:
    """Layer weights by a preset that every UNet can have, the middle block silent where the results shall be as they were.

    Overrides by index that the model has no block for are left out, as old graphs for another model may hold them.
    """

    weights: LayerWeights
    results: Results = Results.CORRECTED

    def resolve(self, blocks: tuple[tuple[str, int, int], ...]) -> tuple[LayerWeight, ...]:
        """The weight of each cross-attention layer, `blocks` being (part, number, depth) of each."""
        places = places_of(blocks)
        overrides = tuple(one for one in self.weights.overrides if not one.by_index or int(one.word) < len(places))
        if self.weights.overrides and not overrides:
            return (LayerWeight(0.0, 0.0),) * len(blocks)
        weights = LayerWeights(self.weights.preset, self.weights.weight, self.weights.second_weight, overrides)
        known = self.weights.preset in RULES or tuple(place.name for place in places) in BLOCKS.values()
        found = [weight for _, weight in weights.by_place(places if known else known_places(UNKNOWN_IS_LIKE))]
        by_block = {(place.part, place.number): found[min(place.index, len(found) - 1)] for place in places}
        silent = LayerWeight(0.0, 0.0)
        skipped = "middle" if self.results is Results.AS_PLUS else None
        return tuple(silent if part == skipped else by_block[part, number] for part, number, _ in blocks)


