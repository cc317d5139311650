"""Which row of a model call's batch belongs to which pass, image and area."""

from collections.abc import Sequence
from typing import NamedTuple

from ..adapter.key_value_bank import POSITIVE
from ..masks.token_grid import Area, Size
from ..prompt.words import TextTokens
from .polarity import PolarityRule, old_polarity_of_index


class BatchLayout(NamedTuple):
    """How a model call's batch is made up: passes one after the other, each with as many images.

    `polarities`, `areas` and `passes`, ComfyUI's own indices, have an entry for each pass, `frames` the place in the whole
    batch of each row, pass by pass; `latent` is the size of the latent that the model sees. `texts` are the tokens of each
    pass, only where a reference belongs to words. `announced` where the guider itself says the sides, among them a text that
    is on the other side than its words. `clip` is how many latent frames each row has, where rows are videos. Where rows
    are frames of videos, each but the first stands for `stride` frames of one.
    """

    polarities: tuple[int, ...]
    frames: tuple[int, ...]
    areas: tuple[Area, ...]
    latent: Size
    passes: tuple[int, ...] = ()
    texts: tuple[TextTokens | None, ...] = ()
    announced: bool = False
    clip: int = 1
    stride: int = 1

    @property
    def batch(self) -> int:
        """How many images there are in all passes."""
        return len(self.frames)

    @property
    def images(self) -> int:
        """How many images there are in a pass."""
        return len(self.frames) // len(self.polarities)

    @property
    def sides(self) -> tuple[int, ...]:
        """The polarity of each row."""
        return tuple(side for side in self.polarities for _ in range(self.images))

    def rows_of(self, number: int) -> slice:
        """The rows of the pass of a number."""
        return slice(number * self.images, (number + 1) * self.images)

    def under(self, rule: PolarityRule) -> "BatchLayout":
        """The layout with the side that each pass has under a rule."""
        if rule is PolarityRule.BY_ROLE or self.announced:
            return self
        return self._replace(polarities=tuple(old_polarity_of_index(index) for index in self.passes))

    def places(self, count: int) -> tuple[int, ...]:
        """Which of `count` things each row takes: its image's, the last for all that follow."""
        return tuple(min(frame, count - 1) for frame in self.frames)

    def sided_places(self, count: int) -> tuple[int, ...]:
        """The same in a list of pairs, negative first, laid out flat."""
        return tuple(2 * place + side for place, side in zip(self.places(count), self.sides, strict=True))

    def of_rows(self, rows: Sequence[int]) -> "BatchLayout":
        """The layout of some of the rows, in any order: as many of a pass together as there are."""
        images = next(size for size in range(len(rows), 0, -1) if self._in_passes(rows, size))
        found = self._of_passes([row // self.images for row in rows[::images]])
        return found._replace(frames=tuple(self.frames[row] for row in rows))

    def in_frames(self, frames: Sequence[int], stride: int) -> "BatchLayout":
        """The layout of the same videos with every frame as a row: of each video these, by their place in it."""
        return self._replace(frames=tuple(frames) * self.batch, clip=1, stride=stride)

    def enlarged(self, batch: int) -> "BatchLayout | None":
        """The layout of a batch that another pack made larger by repeating the positive passes; None if it did not do that.

        Nor where sides are announced: which passes are positive to that pack cannot be known.
        """
        if self.announced:
            return None
        positives = self.polarities.count(POSITIVE)
        passes, rest = divmod(batch, self.images)
        copies, uneven = divmod(passes - len(self.polarities) + positives, max(positives, 1))
        if rest or uneven or copies < 1:
            return None
        repeats = [copies if side == POSITIVE else 1 for side in self.polarities]
        return self._of_passes([number for number, times in enumerate(repeats) for _ in range(times)])

    def _in_passes(self, rows: Sequence[int], size: int) -> bool:
        """Whether the rows can be read as passes of a size, each out of one pass."""
        passes = [row // self.images for row in rows]
        starts = range(0, len(rows), size)
        return len(rows) % size == 0 and all(len(set(passes[start : start + size])) == 1 for start in starts)

    def _of_passes(self, numbers: Sequence[int]) -> "BatchLayout":
        return self._replace(
            polarities=tuple(self.polarities[number] for number in numbers),
            frames=tuple(frame for number in numbers for frame in self.frames[self.rows_of(number)]),
            areas=tuple(self.areas[number] for number in numbers),
            passes=tuple(self.passes[number] for number in numbers),
            texts=tuple(self.texts[number] for number in numbers) if self.texts else (),
        )
