"""From a mask over the picture to a weight for each latent token, exactly, at any size."""

from typing import NamedTuple

import torch
from torch import Tensor


class Area(NamedTuple):
    """A part of the canvas, as fractions of its height and width."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0


CANVAS = Area()


def token_weights(mask: Tensor, grid: tuple[int, int], area: Area = CANVAS) -> Tensor:
    """How much of each token of an h by w grid over `area` the mask covers.

    mask (M, H, W) over the whole canvas; returns (M, h * w, 1). A token is the box h and w cut out of the area, its
    weight the integral of the mask over that box: ones give ones, complementary masks add up to one, and soft edges stay.
    """
    rows = box_matrix(grid[0], mask.shape[-2], area.top, area.height).to(mask)
    columns = box_matrix(grid[1], mask.shape[-1], area.left, area.width).to(mask)
    return (rows @ mask @ columns.T).flatten(1).unsqueeze(-1)


def resized(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask (M, H, W) at another size, each value the mean of the mask over its box."""
    if tuple(mask.shape[-2:]) == size:
        return mask
    return token_weights(mask, size).reshape(-1, *size)


def intersection(one: Tensor, other: Tensor) -> Tensor:
    """The product of two masks (M, H, W) at the finer of their sizes; of a shorter batch the last holds for all that follow."""
    size = (max(one.shape[-2], other.shape[-2]), max(one.shape[-1], other.shape[-1]))
    order = torch.arange(max(len(one), len(other)))
    first, second = (resized(mask.float(), size)[order.clamp(max=len(mask) - 1)] for mask in (one, other))
    return first * second


def box_matrix(count: int, size: int, start: float = 0.0, extent: float = 1.0) -> Tensor:
    """The (count, size) matrix that averages `size` samples over `count` equal boxes of [start, start + extent]."""
    edges = (start + extent * torch.arange(count + 1, dtype=torch.float64) / count) * size
    samples = torch.arange(size, dtype=torch.float64)
    low = torch.maximum(edges[:-1, None], samples)
    high = torch.minimum(edges[1:, None], samples + 1)
    overlap = (high - low).clamp(min=0)
    return overlap / overlap.sum(dim=1, keepdim=True)


def token_grid(tokens: int, shapes: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The height and width of a layer's token grid.

    `shapes` are candidate (height, width) pairs, the surest first: what the layer itself reports, then the latent. Of
    the latent, each halving rounds up, as a convolution of stride 2 does. Where nothing fits, the pair of factors of
    `tokens` whose aspect is nearest to the last candidate's.
    """
    for height, width in shapes:
        for halvings in range(6):
            step = 2**halvings
            grid = (-(-height // step), -(-width // step))
            if grid[0] * grid[1] == tokens:
                return grid
    height, width = shapes[-1]
    pairs = ((rows, tokens // rows) for rows in range(1, tokens + 1) if tokens % rows == 0)
    return min(pairs, key=lambda pair: abs(pair[0] * width - pair[1] * height))
