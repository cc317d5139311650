"""The grid of latent tokens of a layer: its size, where its tokens end, and which part of the canvas it covers."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Size = tuple[int, int]  # height and width


class Area(NamedTuple):
    """A part of the canvas, as fractions of its height and width; what reaches past the end goes on at the start."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0


CANVAS = Area()


def token_edges(count: int, size: int) -> Tensor:
    """Where tokens end along a side of a latent, as `count` + 1 fractions of it.

    Every halving of a UNet takes pixels 0, 2, 4... (a convolution of stride 2 and padding 1) and is undone by repeating
    each twice and cutting off what is too much, so token i of stride s belongs to latent pixels s i to s i + s, and the
    last may be narrower. Where no number of halvings gives the count, the tokens are of equal size.
    """
    strides = (2**halvings for halvings in range(size.bit_length() + 1))
    stride = next((stride for stride in strides if -(-size // stride) == count), None)
    steps = torch.arange(count + 1, dtype=torch.float64)
    return steps / count if stride is None else (steps * stride).clamp(max=size) / size


def box_matrix(boxes: Tensor, samples: Tensor, start: float = 0.0, extent: float = 1.0) -> Tensor:
    """The matrix (boxes, samples) that averages samples over the boxes of [start, start + extent], both by their edges."""
    around = torch.cat((samples, samples[1:] + 1)) if start + extent > 1 else samples
    edges = start + extent * boxes
    low = torch.maximum(edges[:-1, None], around[:-1])
    high = torch.minimum(edges[1:, None], around[1:])
    overlap = (high - low).clamp(min=0)
    overlap = overlap / overlap.sum(dim=1, keepdim=True)
    return torch.unflatten(overlap, 1, (-1, len(samples) - 1)).sum(dim=1)


def token_grid(tokens: int, shapes: Sequence[Size], levels: int) -> Size | None:
    """The height and width of a layer's token grid; None where nothing that is known of it has so many tokens.

    `shapes` are candidate (height, width) pairs, most certain first: what the layer itself reports, then the latent. Each of
    them may be halved, `levels` - 1 times; a halving rounds up, as a convolution of stride 2 does.
    """
    grids = (grid for shape in shapes for grid in halved(shape, levels))
    return next((grid for grid in grids if grid[0] * grid[1] == tokens), None)


def halved(size: Size, count: int) -> Iterator[Size]:
    """The grids that a UNet makes of a latent: the latent itself, then `count` - 1 halvings of it."""
    return ((-(-size[0] // 2**step), -(-size[1] // 2**step)) for step in range(count))


def patch_grid(latent: Size, patch: int = 2) -> Size:
    """The grid of a transformer whose tokens are patches of a latent, padded at its ends."""
    return -(-latent[0] // patch), -(-latent[1] // patch)
