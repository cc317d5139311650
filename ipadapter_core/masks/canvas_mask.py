"""From a mask over the image to a weight for each latent token, exactly, at any size."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from .token_grid import CANVAS, Area, Size, box_matrix, token_edges


class CanvasMask(NamedTuple):
    """Masks over the canvas: values (M, R, C), each constant between two row edges and two column edges.

    Edges are fractions of the canvas, float64, (R + 1,) and (C + 1,): a product of masks of different sizes has uneven ones.
    """

    values: Tensor
    rows: Tensor
    columns: Tensor

    def picture(self, number: int) -> "CanvasMask":
        """The mask of one image of the batch, the last one for all that follow."""
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


def _sorted_once(edges: Tensor) -> Tensor:
    return cast(Any, edges).unique()  # which has no types in PyTorch


def _on_common_edges(masks: Sequence[CanvasMask]) -> tuple[list[Tensor], Tensor, Tensor]:
    """The masks' values between the edges of all of them: nothing is averaged, so nothing is lost."""
    rows, columns = (_sorted_once(torch.cat([mask[axis] for mask in masks])) for axis in (1, 2))
    fitted: list[Tensor] = []
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
    rows, columns = _boxes(mask, grid, latent, area)
    return (rows @ mask.values.double() @ columns.T).flatten(1).unsqueeze(-1)


def token_peaks(mask: CanvasMask, grid: Size, latent: Size, area: Area = CANVAS) -> Tensor:
    """The largest value of the mask that each token of an h by w grid covers, (M, h * w, 1) in float64.

    A box in pixels gives one for every token that it touches: its edges are rounded outwards.
    """
    rows, columns = _boxes(mask, grid, latent, area)
    values = mask.values.double()
    values = torch.stack([values[:, own > 0].amax(dim=1) for own in rows], dim=1)
    return torch.stack([values[..., own > 0].amax(dim=-1) for own in columns], dim=-1).flatten(1).unsqueeze(-1)


def _boxes(mask: CanvasMask, grid: Size, latent: Size, area: Area) -> tuple[Tensor, Tensor]:
    """What each row, and each column, of tokens has of the mask's rows and columns."""
    rows = box_matrix(token_edges(grid[0], latent[0]), mask.rows, area.top, area.height)
    columns = box_matrix(token_edges(grid[1], latent[1]), mask.columns, area.left, area.width)
    return rows, columns
