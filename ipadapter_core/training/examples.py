"""What a training learns from: batches of latents, captions and features, drawn by number so that any can be drawn again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .conditioning import Entry


class Example(NamedTuple):
    """One batch. `features` are what each row sees of its reference, `negative` what stands in for none.

    With `teacher` captions the model itself, under these and without an adapter, says what is wanted, not the latents.
    """

    latents: Tensor  # (B, C, H, W), as a VAE gives them
    captions: Sequence[Entry]
    features: Tensor  # (B, E) or (B, L, E)
    negative: Tensor
    teacher: Sequence[Entry] | None = None


class Examples(Protocol):
    """Whoever has examples."""

    def draw(self, generator: torch.Generator) -> Example:
        """A batch, which follows from the generator's seed alone."""
        ...

    def identity(self) -> str:
        """What changes with the data."""
        ...


@dataclass(frozen=True)
class DropoutRates:
    """How often an example loses its image, its text, or both, so that guidance has something to compare."""

    image: float = 0.05
    text: float = 0.05
    both: float = 0.05

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which examples keep their image and which keep their text: two (B) bool."""
        chance = torch.rand(count, generator=generator)
        both = chance < self.both
        image = both | ((chance >= self.both) & (chance < self.both + self.image))
        text = both | ((chance >= self.both + self.image) & (chance < self.both + self.image + self.text))
        return ~image, ~text


def kept_features(features: Tensor, negative: Tensor, kept: Tensor) -> Tensor:
    """Features where the image is kept (B), elsewhere what the negative pass of sampling sees."""
    return torch.where(kept.to(features.device).view(-1, *[1] * (features.ndim - 1)), features, negative)
