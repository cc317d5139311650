"""What every kind of mask can do: say how much of each latent token it covers."""

from typing import Protocol

from torch import Tensor

from .token_grid import CANVAS, Area, Size


class Mask(Protocol):
    """Masks over the canvas, one for all images of a batch or one for each."""

    @property
    def values(self) -> Tensor:
        """(M, R, C), 0 to 1."""
        ...

    def token_weights(self, grid: Size, latent: Size, area: Area = CANVAS) -> Tensor:
        """The weights (M, L, 1) of the tokens of a grid, for a latent of a size that covers an area."""
        ...
