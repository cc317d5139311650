"""Which applications act at which layer of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..attention.orthogonal_attention import Projection
from .application import Application, Block


@dataclass(frozen=True)
class LayerSlot:
    """An application at a layer: its place among the model's applications, and the layer's place in its banks."""

    application: Application
    place: int
    index: int

    @property
    def masked(self) -> bool:
        """Whether it has to know a layer's token grid."""
        return self.application.masked

    @property
    def worded(self) -> bool:
        """Whether it has to see a layer's attention to the text."""
        return bool(self.application.words)

    @property
    def every_token(self) -> bool:
        """Whether it has to be called with all tokens of an image, because it sums over them."""
        how = self.application.orthogonality
        return how is not None and how.projection is not Projection.NONE


Slots = Mapping[Block, tuple[LayerSlot, ...]]


def slots_by_block(applications: Sequence[Application]) -> Slots:
    """Who has something to add at each layer of a model."""
    slots: dict[Block, tuple[LayerSlot, ...]] = {}
    for place, application in enumerate(applications):
        for index, block in enumerate(application.blocks):
            if not application.layers[index].silent:
                slots[block] = (*slots.get(block, ()), LayerSlot(application, place, index))
    return slots
