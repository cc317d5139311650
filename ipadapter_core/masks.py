"""From a mask over the picture to a weight for each latent token, exactly, at any size."""

from collections.abc import Iterator, Sequence
from math import log
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


class CanvasMask(NamedTuple):
    """Masks over the canvas: values (M, R, C), each constant between two row edges and two column edges.

    Edges are fractions of the canvas, float64, (R + 1,) and (C + 1,): a product of masks of different sizes has uneven ones.
    """

    values: Tensor
    rows: Tensor
    columns: Tensor

    def picture(self, number: int) -> "CanvasMask":
        """The mask of one picture of the batch, the last one for all that follow."""
        place = min(number, len(self.values) - 1)
        return self._replace(values=self.values[place : place + 1])

    def token_weights(self, grid: Size, latent: Size, area: Area = CANVAS) -> Tensor:
        """As the function of this name says."""
        return token_weights(self, grid, latent, area)


def canvas_mask(mask: Tensor) -> CanvasMask:
    """A mask (H, W), (M, H, W) or (M, 1, H, W) of even samples."""
    values = mask.detach().to("cpu", torch.float32).reshape(-1, *mask.shape[-2:])
    rows, columns = (torch.arange(size + 1, dtype=torch.float64) / size for size in values.shape[-2:])
    return CanvasMask(values, rows, columns)


def product(one: CanvasMask, other: CanvasMask) -> CanvasMask:
    """Both at once; where one has fewer masks its last one stands for all that follow."""
    (left, right), rows, columns = _on_common_edges((one, other))
    count = max(left.shape[0], right.shape[0])
    return CanvasMask(_lengthened(left, count) * _lengthened(right, count), rows, columns)


def sequence(masks: Sequence[CanvasMask]) -> CanvasMask:
    """The masks one after the other."""
    values, rows, columns = _on_common_edges(masks)
    return CanvasMask(torch.cat(values), rows, columns)


def _lengthened(values: Tensor, count: int) -> Tensor:
    return torch.cat((values, values[-1:].expand(count - values.shape[0], -1, -1)))


def _on_common_edges(masks: Sequence[CanvasMask]) -> tuple[list[Tensor], Tensor, Tensor]:
    """The masks' values between the edges of all of them: nothing is averaged, so nothing is lost."""
    rows, columns = (torch.cat([mask[axis] for mask in masks]).unique() for axis in (1, 2))
    fitted = []
    for mask in masks:
        down, across = (
            torch.searchsorted(own, (edges[:-1] + edges[1:]) / 2) - 1
            for own, edges in ((mask.rows, rows), (mask.columns, columns))
        )
        fitted.append(mask.values[:, down][:, :, across])
    return fitted, rows, columns


def token_weights(mask: CanvasMask, grid: Size, latent: Size, area: Area = CANVAS) -> Tensor:
    """How much of each token of an h by w grid the mask covers, when a latent of a size covers `area`.

    Returns (M, h * w, 1) in float64. A token's weight is the integral of the mask over the token's box: ones give ones,
    complementary masks add up to one, and soft edges stay.
    """
    rows = box_matrix(token_edges(grid[0], latent[0]), mask.rows, area.top, area.height)
    columns = box_matrix(token_edges(grid[1], latent[1]), mask.columns, area.left, area.width)
    return (rows @ mask.values.double() @ columns.T).flatten(1).unsqueeze(-1)


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
    return overlap.unflatten(1, (-1, len(samples) - 1)).sum(dim=1)


def token_grid(tokens: int, shapes: tuple[Size, ...]) -> Size:
    """The height and width of a layer's token grid.

    `shapes` are candidate (height, width) pairs, the surest first: what the layer itself reports, then the latent. Of
    the latent, each halving rounds up, as a convolution of stride 2 does. Where nothing fits, the pair of factors of
    `tokens` whose aspect is nearest to the last candidate's.
    """
    for shape in shapes:
        for grid in halved(shape, 6):
            if grid[0] * grid[1] == tokens:
                return grid
    height, width = shapes[-1]
    pairs = ((rows, tokens // rows) for rows in range(1, tokens + 1) if tokens % rows == 0)
    return min(pairs, key=lambda pair: abs(log(pair[0] * width / (pair[1] * height))))


def halved(size: Size, count: int) -> Iterator[Size]:
    """The grids that a UNet makes of a latent: the latent itself, then `count` - 1 halvings of it."""
    return ((-(-size[0] // 2**step), -(-size[1] // 2**step)) for step in range(count))
