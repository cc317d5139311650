"""A mask as ComfyUI_IPAdapter_plus lays it over a layer: stretched to a grid that is guessed from the number of tokens."""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..masks.token_grid import CANVAS, Area, Size


class StretchedMask(NamedTuple):
    """Masks (M, H, W) over whatever the model sees. For old images only: `CanvasMask` is exact at every size."""

    values: Tensor

    def token_weights(self, grid: Size, latent: Size, area: Area = CANVAS) -> Tensor:
        """The weights (M, L, 1) of the tokens of an h by w grid; a part of the canvas gets the whole mask squeezed into it.

        The guessed height is that of the latent's aspect, rounded down, and one more where that does not divide the tokens.
        Tokens that are left over have 0, half of them before the others. Source: the measured behaviour of
        ComfyUI_IPAdapter_plus (9d076a3).
        """
        tokens = grid[0] * grid[1]
        height = int(latent[0] / sqrt(latent[0] * latent[1] / tokens))
        height += tokens % height != 0
        size = (height, tokens // height)
        weights = interpolate(self.values.unsqueeze(1).float(), size=size, mode="bilinear").flatten(1)
        missing = tokens - weights.shape[1]
        return pad(weights, (missing // 2, missing - missing // 2)).unsqueeze(-1)


def stretched_mask(mask: Tensor) -> StretchedMask:
    """A mask (H, W), (M, H, W) or (M, 1, H, W)."""
    return StretchedMask(mask.detach().to("cpu", torch.float32).reshape(-1, *mask.shape[-2:]))
