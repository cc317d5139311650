"""Variants of one application to be compared: every weight under every layer preset."""

from dataclasses import dataclass
from typing import NamedTuple

from ..errors import WeightError
from ..limits import VARIANTS
from ..quoting import quoted
from ..weights.layer_presets import LayerPreset
from ..weights.parsing import read_numbers, read_words


class Variant(NamedTuple):
    """One cell of a comparison."""

    weight: float
    preset: LayerPreset

    @property
    def label(self) -> str:
        """As it is written beside an image."""
        return f"{self.preset.value}, weight {self.weight:g}"


@dataclass(frozen=True)
class Sweep:
    """Weights, the columns of a comparison, and presets, its rows."""

    weights: tuple[float, ...]
    presets: tuple[LayerPreset, ...]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Row by row."""
        return tuple(Variant(weight, preset) for preset in self.presets for weight in self.weights)


def read_sweep(weights: str, presets: str) -> Sweep:
    """Reads `0, 0.5, 1` and `linear, style transfer`. Raises `WeightError` for what cannot be read or is too much."""
    numbers = read_numbers(weights, "weights of Sweep IP-Adapter")
    names = [_preset(word) for word in read_words(presets)]
    if not numbers or not names:
        raise WeightError(
            "Sweep IP-Adapter: found no weight or no preset, expected at least one of each: '0, 0.5, 1' and 'linear'"
        )
    if len(numbers) * len(names) > VARIANTS:
        raise WeightError(
            f"Sweep IP-Adapter: found {len(numbers)} weights under {len(names)} presets, expected at most {VARIANTS} images: "
            "shorten weights or presets"
        )
    return Sweep(numbers, tuple(names))


def _preset(word: str) -> LayerPreset:
    by_name = {preset.value.lower(): preset for preset in LayerPreset}
    if word.lower() not in by_name:
        raise WeightError(
            f"presets of Sweep IP-Adapter: found '{quoted(word)}', expected names of Layer Weights: {', '.join(by_name)}"
        )
    return by_name[word.lower()]
