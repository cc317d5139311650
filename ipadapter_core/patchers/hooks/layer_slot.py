"""Which applications act at which layer of a model."""

from collections.abc import Sequence
from typing import NamedTuple

from ...sampling.application import Application, Block


class Place(NamedTuple):
    """An application at a layer: its place among the model's applications, and the layer's place in its banks."""

    application: Application
    slot: int
    index: int

    @property
    def masked(self) -> bool:
        """Whether it has to know a layer's token grid."""
        return self.application.mask is not None


def places_by_block(applications: Sequence[Application]) -> dict[Block, tuple[Place, ...]]:
    """Who has something to add at each place of a model."""
    places: dict[Block, tuple[Place, ...]] = {}
    for slot, application in enumerate(applications):
        for index, block in enumerate(application.blocks):
            if not application.layers[index].silent:
                places[block] = (*places.get(block, ()), Place(application, slot, index))
    return places
