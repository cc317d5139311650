"""The places of several references: what each token of a layer sees of which of them."""

from typing import NamedTuple

import torch
from torch import Tensor

from .canvas_mask import CanvasMask, token_peaks
from .token_grid import CANVAS, Area, Size


class Places(NamedTuple):
    """A mask for each reference, None for the whole canvas."""

    masks: tuple[CanvasMask | None, ...]

    def token_weights(self, grid: Size, latent: Size, area: Area = CANVAS) -> Tensor:
        """How much each token of a grid sees of each reference, (M, L, R) in float64, for a latent that covers an area."""
        whole = torch.ones(1, grid[0] * grid[1], 1, dtype=torch.float64)
        parts = [whole if mask is None else token_peaks(mask, grid, latent, area) for mask in self.masks]
        count = max(len(part) for part in parts)
        return torch.cat([_lengthened(part, count) for part in parts], dim=-1)


def _lengthened(part: Tensor, count: int) -> Tensor:
    return torch.cat((part, part[-1:].expand(count - len(part), -1, -1)))
