"""A weight for each cross-attention layer, and which side of guidance it acts on."""

from typing import NamedTuple


class LayerWeight(NamedTuple):
    """What multiplies the reference's part of a layer in the positive and in the negative pass.

    With `negative_sees_reference` the negative pass attends to the reference itself instead of to its negative: what the
    reference shows is then guided away from.
    """

    positive: float = 1.0
    negative: float = 1.0
    negative_sees_reference: bool = False

    @property
    def silent(self) -> bool:
        """Whether the layer adds nothing at all."""
        return self.positive == 0 and self.negative == 0
