"""Which row of a model call's batch belongs to which pass, image and area."""

from typing import NamedTuple

from ..adapter.key_value_bank import POSITIVE
from ..masks.token_grid import Area, Size
from .polarity import PolarityRule, old_polarity_of_index


class BatchLayout(NamedTuple):
    """How a model call's batch is made up: passes one after the other, each with the same images.

    `polarities`, `areas` and `passes`, ComfyUI's own indices, have an entry for each pass, `frames` the place in the whole
    batch of each image of a pass; `latent` is the size of the latent that the model sees.
    """

    polarities: tuple[int, ...]
    frames: tuple[int, ...]
    areas: tuple[Area, ...]
    latent: Size
    passes: tuple[int, ...] = ()

    @property
    def batch(self) -> int:
        """How many images there are in all passes."""
        return len(self.polarities) * len(self.frames)

    def under(self, rule: PolarityRule) -> "BatchLayout":
        """The layout with the side that each pass has under a rule."""
        if rule is PolarityRule.BY_ROLE:
            return self
        return self._replace(polarities=tuple(old_polarity_of_index(index) for index in self.passes))

    def places(self, count: int) -> tuple[int, ...]:
        """Which of `count` things each row takes: its image's, the last for all that follow."""
        return tuple(min(frame, count - 1) for frame in self.frames) * len(self.polarities)

    def sided_places(self, count: int) -> tuple[int, ...]:
        """The same in a list of pairs, negative first, laid out flat."""
        return tuple(2 * min(frame, count - 1) + side for side in self.polarities for frame in self.frames)

    def enlarged(self, batch: int) -> "BatchLayout | None":
        """The layout of a batch that another pack made larger by repeating the positive passes; None if it did not do that."""
        positives = self.polarities.count(POSITIVE)
        passes, rest = divmod(batch, len(self.frames))
        copies, uneven = divmod(passes - len(self.polarities) + positives, max(positives, 1))
        if rest or uneven or copies < 1:
            return None
        repeats = [copies if side == POSITIVE else 1 for side in self.polarities]
        polarities = [side for side, times in zip(self.polarities, repeats, strict=True) for _ in range(times)]
        areas = [area for area, times in zip(self.areas, repeats, strict=True) for _ in range(times)]
        indices = [index for index, times in zip(self.passes, repeats, strict=True) for _ in range(times)]
        return self._replace(polarities=tuple(polarities), areas=tuple(areas), passes=tuple(indices))
