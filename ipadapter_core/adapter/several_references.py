"""The keys and values of references that are attended to together, in the way that their adapter reads several."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from ..checkpoint.enums import Joining
from ..checkpoint.pulid_formats import STATES
from ..prompt.features import parts_of
from ..prompt.image_prompt import EncodedImage, Reference
from .key_value_bank import KeyValueBank
from .managed import ManagedAdapter


class WeightedBank(NamedTuple):
    """The bank of one reference and the reference's own weight.

    `place` is the reference's in the image prompt, of references that were read as one the first one's.
    """

    bank: KeyValueBank
    weight: float = 1.0
    place: int = 0


Banks = tuple[WeightedBank, ...]


def banks_of(
    adapter: ManagedAdapter, references: Sequence[Reference], apart: bool, text_projection: nn.Module | None = None
) -> Banks:
    """A bank for each reference; where the adapter reads several as one, and they are not `apart`, for each weight."""
    made = WAYS[Joining.BESIDE if apart else adapter.spec.projector.joining]
    return made(references, lambda image: adapter.bank(image, text_projection))


def read_as_one(images: Sequence[EncodedImage]) -> EncodedImage:
    """Images of one person: the conditions (1, R, E) and, one after the other, the hidden states; the negative is the first's.

    Source: ToTheBeginning/PuLID (1aa2fc7), pulid/pipeline_v1_1.py, get_id_embedding.
    """
    if len(images) == 1:
        return images[0]
    conditions, *states = zip(*(parts_of(image.features) for image in images), strict=True)
    features = torch.stack(conditions, dim=1), *(torch.cat(same, dim=1) for same in states)
    return EncodedImage(features, images[0].negative)


Project = Callable[[EncodedImage], KeyValueBank]


def _beside(references: Sequence[Reference], project: Project) -> Banks:
    return tuple(WeightedBank(project(one.image), one.weight, place) for place, one in enumerate(references))


def _together(references: Sequence[Reference], project: Project) -> Banks:
    """Those of one weight are read as one: what they have become no longer has a weight for each."""
    places: dict[float, list[int]] = {}
    for place, one in enumerate(references):
        places.setdefault(one.weight, []).append(place)
    return tuple(
        WeightedBank(project(read_as_one([references[place].image for place in same])), weight, same[0])
        for weight, same in places.items()
    )


def _identity_beside(references: Sequence[Reference], project: Project) -> Banks:
    """Source: ToTheBeginning/PuLID (1aa2fc7), app.py, without its "ID Mix"."""
    first, *others = _beside(references, project)
    return first, *(one._replace(bank=one.bank.first(STATES)) for one in others)


WAYS: dict[Joining, Callable[[Sequence[Reference], Project], Banks]] = {
    Joining.BESIDE: _beside,
    Joining.READ_TOGETHER: _together,
    Joining.IDENTITY_BESIDE: _identity_beside,
}
