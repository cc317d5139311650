"""What an application needs of a model call, made ready once for all layers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..masks.token_grid import Size
from .application import Application
from .batch_layout import BatchLayout
from .step_weight import StepWeight


class PreparedApplication(NamedTuple):
    """An application's part in a model call, for one layout of the batch.

    `weight` is that of the step, (1, 1, 1) or (B, 1, 1), None for one; `choice` (B,) the place of each row in a bank of many
    references, laid out flat; `masks` are weights (1, L, 1) or (B, L, 1) by token grid, times the step's weight unless keys
    are scaled by it.
    """

    application: Application
    layout: BatchLayout
    weight: Tensor | None = None
    choice: Tensor | None = None
    masks: tuple[tuple[Size, Tensor], ...] = ()

    def mask(self, grid: Size, like: Tensor) -> Tensor:
        """The mask for every row of the batch at a token grid, (1 or B, L, 1), times the step's weight as above."""
        found = next((weights for size, weights in self.masks if size == grid), None)
        found = _weighted_mask(self, grid, like) if found is None else found
        return found.to(like.dtype)


def prepare(
    application: Application, layout: BatchLayout, weight: StepWeight, like: Tensor, grids: Sequence[Size] = ()
) -> PreparedApplication:
    """An application's part in a model call, for queries on the device and in the dtype of `like`."""
    layout = layout.under(application.strength.polarity_rule)
    cache, device = application.cache, like.device
    multiplier, choice = weight.multiplier, None
    if multiplier is not None:
        count, multiplier = multiplier.shape[0], multiplier.to(device, like.dtype)
        multiplier = multiplier if count == 1 else multiplier[cache.index(device, layout.places(count))]
        multiplier = multiplier.view(-1, 1, 1)
    if application.per_frame:
        choice = cache.index(device, layout.sided_places(application.references))
    prepared = PreparedApplication(application, layout, multiplier, choice)
    if application.mask is None:
        return prepared
    return prepared._replace(masks=tuple((grid, _weighted_mask(prepared, grid, like)) for grid in grids))


def _weighted_mask(prepared: PreparedApplication, grid: Size, like: Tensor) -> Tensor:
    weights = mask_rows(prepared.application, prepared.layout, grid, like)
    if prepared.weight is None or prepared.application.scaled_late:
        return weights
    return weights * prepared.weight


def mask_rows(application: Application, layout: BatchLayout, grid: Size, like: Tensor) -> Tensor:
    """The mask for every row of the batch, (B, L, 1), or (1, L, 1) where all rows have the same."""
    alike = len(set(layout.areas)) == 1
    weights = [
        application.mask_weights(like.device, like.dtype, grid, layout.latent, area)
        for area in (layout.areas[:1] if alike else layout.areas)
    ]
    if alike and weights[0].shape[0] == 1:
        return weights[0]
    key = (like.device, like.dtype, grid, layout)
    return application.cache.mask_rows(key, lambda: _in_rows(weights, layout))


def _in_rows(weights: list[Tensor], layout: BatchLayout) -> Tensor:
    """(M, L, 1) for each pass, or once for all -> (B, L, 1), each image with its frame's mask."""
    of_pass = weights * (len(layout.areas) // len(weights))
    return torch.cat(
        [
            one[[min(frame, one.shape[0] - 1) for frame in layout.frames[layout.rows_of(number)]]]
            for number, one in enumerate(of_pass)
        ]
    )


def select_rows(tensor: Tensor, prepared: PreparedApplication) -> Tensor:
    """(2, ...) -> (C, ...), a row for each pass or one for all; (F, 2, ...) -> (B, ...), for each image of each pass."""
    if prepared.choice is not None:
        return tensor.flatten(0, 1)[prepared.choice]
    polarities = prepared.layout.polarities
    if polarities == (0, 1):
        return tensor
    if len(set(polarities)) == 1:
        return tensor[polarities[0] : polarities[0] + 1]
    return torch.cat([tensor[side : side + 1] for side in polarities])


def per_image(tensor: Tensor, rows: int) -> Tensor:
    """(C, ...) -> (B, ...): repeats what a pass shares for each of its images."""
    return tensor.repeat_interleave(rows // tensor.shape[0], dim=0)
