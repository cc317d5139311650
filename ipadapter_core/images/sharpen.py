"""Contrast adaptive sharpening: more where the neighbourhood is flat, less where it is already sharp."""

from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import pad


def sharpen(planes: Tensor, amount: float, border: str = "replicate") -> Tensor:
    """Images (B, C, H, W) in 0..1 sharpened by an amount 0..1; 0 leaves them as they are.

    With the cross b, d, e, f, h of a pixel e and its neighbours, and the corners a, c, g, i:

        low = min(cross) + min(corners)      high = max(cross) + max(corners)
        w = -sqrt(min(low, 2 - high) / high) (1/8 + amount (1/5 - 1/8))
        out = (e + w (b + d + f + h)) / (1 + 4 w)

    `border` is a mode of torch's `pad`: what lies beyond the edge. Source: AMD FidelityFX, ffx_cas.h.
    """
    if amount <= 0:
        return planes
    around = pad(planes, (1, 1, 1, 1), mode=border)
    height, width = planes.shape[-2:]
    shifted = [[around[..., row : row + height, column : column + width] for column in range(3)] for row in range(3)]
    (a, b, c), (d, e, f), (g, h, i) = shifted
    cross, corners = (b, d, e, f, h), (a, c, g, i)
    low = reduce(torch.minimum, cross) + reduce(torch.minimum, corners)
    high = reduce(torch.maximum, cross) + reduce(torch.maximum, corners)
    contrast = torch.minimum(low, 2 - high) / high  # 0 / 0 where all is black: black it stays
    weight = -contrast.sqrt() * (1 / 8 + amount * (1 / 5 - 1 / 8))
    return ((e + weight * (b + d + f + h)) / (1 + 4 * weight)).nan_to_num().clamp(0, 1)
