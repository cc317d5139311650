"""The weight types of ComfyUI_IPAdapter_plus, for any UNet."""

from dataclasses import dataclass
from enum import Enum

from ..weights.layer_presets import BLOCKS, RULES, LayerPreset
from ..weights.layer_weights import LayerWeight, LayerWeights, known_places, places_of


class Results(str, Enum):
    """Which images an old workflow should give."""

    CORRECTED = "corrected"
    AS_PLUS = "as IPAdapter_plus"


WEIGHT_TYPES = (
    LayerPreset.LINEAR, LayerPreset.EASE_IN, LayerPreset.EASE_OUT, LayerPreset.EASE_IN_OUT, LayerPreset.REVERSE_IN_OUT,
    LayerPreset.WEAK_INPUT, LayerPreset.WEAK_OUTPUT, LayerPreset.WEAK_MIDDLE, LayerPreset.STRONG_MIDDLE, LayerPreset.STYLE,
    LayerPreset.COMPOSITION, LayerPreset.STRONG_STYLE, LayerPreset.STYLE_AND_COMPOSITION, LayerPreset.PRECISE_STYLE,
    LayerPreset.PRECISE_COMPOSITION,
)  # fmt: skip
PRECISE = (LayerPreset.PRECISE_STYLE, LayerPreset.PRECISE_COMPOSITION)
TWO_HALVES = (LayerPreset.STYLE_AND_COMPOSITION, LayerPreset.STRONG_STYLE_AND_COMPOSITION)
UNKNOWN_IS_LIKE = "SD1.5"  # UNets of other make are taken for one, block by block in running order
SILENT = LayerWeight(0.0, 0.0)


@dataclass(frozen=True)
class OldLayerWeights(LayerWeights):
    """Layer weights by a preset that every UNet can have, the middle block silent where the results should be as they were.

    Overrides by an index that the model has no block for are left out, as old workflows for another model may hold them.
    """

    results: Results = Results.CORRECTED

    def resolve(self, blocks: tuple[tuple[str, int, int], ...]) -> tuple[LayerWeight, ...]:
        """The weight of each cross-attention layer, `blocks` being (part, number, depth) of each."""
        places = places_of(blocks)
        overrides = tuple(one for one in self.overrides if not one.by_index or int(one.word) < len(places))
        if self.overrides and not overrides:
            return (SILENT,) * len(blocks)
        known = self.preset in RULES or tuple(place.name for place in places) in BLOCKS.values()
        weights = LayerWeights(self.preset, self.weight, self.second_weight, overrides)
        found = [weight for _, weight in weights.by_place(places if known else known_places(UNKNOWN_IS_LIKE))]
        by_block = {(place.part, place.number): found[min(place.index, len(found) - 1)] for place in places}
        skipped = "middle" if self.results is Results.AS_PLUS else None
        return tuple(SILENT if part == skipped else by_block[part, number] for part, number, _ in blocks)
