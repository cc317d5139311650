"""Which references of an image prompt are attended to together, and where."""

from typing import NamedTuple

import torch

from ..checkpoint.enums import Overlap
from ..masks.canvas_mask import CanvasMask, canvas_mask, product, sequence
from ..masks.mask import Mask
from ..masks.places import Places
from ..prompt.image_prompt import Reference, Words

WHOLE = canvas_mask(torch.ones(1, 1))


class Group(NamedTuple):
    """References of one application, the mask over all of them, and the places that they have there, if any has one."""

    references: tuple[Reference, ...]
    mask: Mask | None
    places: Places | None = None

    @property
    def silent(self) -> bool:
        """Whether nothing comes of it."""
        nowhere = self.mask is not None and not self.mask.values.any()
        return nowhere or not any(reference.weight for reference in self.references)


def groups_of(
    references: tuple[Reference, ...], mask: Mask | None, overlap: Overlap, in_turn: bool = False
) -> list[Group]:
    """Groups of references under a common mask; `in_turn` each belongs to one image of the batch.

    A mask of ones is none.
    """
    groups = _in_turn(references, mask) if in_turn else _together(references, mask, overlap)
    return [group._replace(mask=None) if _covers_all(group.mask) else group for group in groups]


def _together(references: tuple[Reference, ...], mask: Mask | None, overlap: Overlap) -> list[Group]:
    """References that are attended to together: those that share the very same mask and words, or words alone."""
    groups: dict[tuple[int, Words | None], list[Reference]] = {}
    for reference in references:
        if reference.weight != 0:
            place = id(reference.mask) if overlap is Overlap.ADDED else 0
            groups.setdefault((place, reference.words), []).append(reference)
    if overlap is Overlap.ADDED:
        return [Group(tuple(group), _both(group[0].mask, mask)) for group in groups.values()]
    return [_placed(group, mask) for group in groups.values()]


def _placed(references: list[Reference], mask: Mask | None) -> Group:
    """A group in one softmax; who has no place at all in any image is not in it."""
    there = tuple(one for one in references if one.mask is None or one.mask.values.any())
    masks = tuple(None if _covers_all(one.mask) else one.mask for one in there)
    return Group(there, mask, Places(masks) if any(mask is not None for mask in masks) else None)


def _in_turn(references: tuple[Reference, ...], mask: Mask | None) -> list[Group]:
    """All references, one for each image of the batch, each with the mask that it has for that image."""
    masks = [reference.mask for reference in references]
    given = [len(own.values) for own in masks if own is not None]
    if not given:
        return [Group(references, mask)]
    of_picture = [masks[min(number, len(masks) - 1)] for number in range(max(len(masks), *given))]
    own = sequence([WHOLE if one is None else one.picture(number) for number, one in enumerate(of_picture)])
    return [Group(references, _both(own, mask))]


def _covers_all(mask: Mask | None) -> bool:
    return isinstance(mask, CanvasMask) and bool((mask.values == 1).all())


def _both(own: CanvasMask | None, common: Mask | None) -> Mask | None:
    if own is None or common is None:
        return common if own is None else own
    assert isinstance(common, CanvasMask), "references of old workflows have no masks of their own"
    return product(own, common)
