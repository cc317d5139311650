"""What one application adds to one layer: picks the keys of each pass, attends, and weighs by mask, frame and time."""

from typing import NamedTuple

import torch
from torch import Tensor

from .application import Application
from .attention import image_attention
from .masks import CANVAS, Area
from .weights.scaling import scale

Factor = Tensor | tuple[()]  # what a step multiplies an application's output by: nothing, one value, or one a frame


class Rows(NamedTuple):
    """How a layer's batch is made up: passes one after the other, each with the same pictures.

    `polarities` and `areas` have an entry for each pass, `frames` the place in the whole batch of each picture of a pass.
    """

    polarities: tuple[int, ...]
    frames: tuple[int, ...]
    areas: tuple[Area, ...]


class LayerCall(NamedTuple):
    """What every application at one call of a layer shares: query (B, L, D), heads, token grid and the batch's make-up.

    Of the L tokens, `before` come before those of the grid and `after` behind them: text, or pictures to be edited.
    """

    query: Tensor
    heads: int
    grid: tuple[int, int]
    rows: Rows
    before: int = 0
    after: int = 0


def add_image_output(
    base: Tensor | None, application: Application, index: int, call: LayerCall, factor: Factor
) -> Tensor | None:
    """Adds to `base` (B, L, D), in place, what an application contributes at its layer `index`; returns `base`.

    Without a base, what it contributes alone, None if nothing.
    """
    placed = application.placed(call.query.device, call.query.dtype)[index]
    if placed is None:
        return base
    factors = None if isinstance(factor, tuple) else factor_rows(factor, call)
    key, value = per_pass(placed.key, call.rows), per_pass(placed.value, call.rows)
    if placed.weight is not None and factors is not None:
        weight = per_pass(placed.weight, call.rows)
        if factors.shape[0] > 1:
            key, value, weight = (_per_picture(part, factors.shape[0]) for part in (key, value, weight))
        key, value = scale(application.strength.scaling, key, value, weight * factors)
        factors = None
    return add_weighed(base, image_attention(call.query, key, value, call.heads), application, call, factors)


def add_weighed(
    base: Tensor | None, out: Tensor, application: Application, call: LayerCall, factors: Tensor | None
) -> Tensor:
    """Adds to `base` (B, L, D), in place, an output times `factors` (B or 1, 1, 1) times the application's mask."""
    multiplier = factors
    if application.mask is not None:
        weights = _mask(application, call)
        multiplier = weights if factors is None else weights * factors
    if base is None:
        return out if multiplier is None else out * multiplier
    return base.add_(out) if multiplier is None else base.addcmul_(out, multiplier)


def factor_rows(factor: Tensor, call: LayerCall) -> Tensor:
    """A step's factor as one for all, (1, 1, 1), or one for each picture of each pass, (B, 1, 1)."""
    return per_row(factor.view(-1, 1, 1).to(call.query.dtype), call.rows)


def per_pass(part: Tensor, rows: Rows) -> Tensor:
    """(2, ...) -> (C, ...), a row for each pass; (F, 2, ...) -> (B, ...), a row for each picture of each pass."""
    if part.ndim == 3:
        if rows.polarities == (0, 1):
            return part
        return torch.cat([part[side : side + 1] for side in rows.polarities])
    last = part.shape[0] - 1
    return torch.stack([part[min(frame, last), side] for side in rows.polarities for frame in rows.frames])


def per_row(values: Tensor, rows: Rows) -> Tensor:
    """One value for all stays so; (F, 1, 1) values become one for each picture of each pass, (B, 1, 1)."""
    if values.shape[0] == 1:
        return values
    last = values.shape[0] - 1
    one_pass = torch.cat([values[min(frame, last) : min(frame, last) + 1] for frame in rows.frames])
    return one_pass.repeat(len(rows.polarities), *[1] * (values.ndim - 1))


def _per_picture(part: Tensor, rows: int) -> Tensor:
    """(C, ...) -> (B, ...): repeats what a pass shares for each of its pictures."""
    return part.repeat_interleave(rows // part.shape[0], dim=0)


def _mask(application: Application, call: LayerCall) -> Tensor:
    """Weights (B or 1, L, 1). Tokens beside the grid take the mask's mean, so that masks that add up do so for them too."""
    weights = _grid_mask(application, call)
    mean = weights.mean(dim=1, keepdim=True)
    sides = [mean.expand(-1, count, -1) for count in (call.before, call.after)]
    return torch.cat((sides[0], weights, sides[1]), dim=1) if call.before or call.after else weights


def _grid_mask(application: Application, call: LayerCall) -> Tensor:
    rows = call.rows
    if all(area == CANVAS for area in rows.areas):
        return per_row(application.mask_weights(call.query, call.grid), rows)
    passes = []
    for area in rows.areas:
        weights = application.mask_weights(call.query, call.grid, area)
        one = per_row(weights, Rows((0,), rows.frames, (area,)))
        passes.append(one.expand(len(rows.frames), -1, -1))
    return torch.cat(passes)
