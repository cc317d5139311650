"""What an application needs of a model call, made ready once for all layers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..masks.mask import Mask
from ..masks.places import Places
from ..masks.token_grid import Size
from .application import Application
from .batch_layout import BatchLayout
from .step_weight import StepWeight


class TokenMask(NamedTuple):
    """What an application's output at each token is multiplied by, (1 or B, L, 1), and how much the token sees of each
    reference, (1 or B, L, R), where these have places of their own.
    """

    factor: Tensor
    seen: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "TokenMask":
        """The same in a dtype."""
        return TokenMask(self.factor.to(dtype), None if self.seen is None else self.seen.to(dtype))


class PreparedApplication(NamedTuple):
    """An application's part in a model call, for one layout of the batch.

    `weight` is that of the step, (1, 1, 1) or (B, 1, 1), None for one; `choice` (B,) the place of each row in a bank of many
    references, laid out flat; `masks` are those of a token grid, their factor times the step's weight unless keys are scaled
    by it.
    """

    application: Application
    layout: BatchLayout
    weight: Tensor | None = None
    choice: Tensor | None = None
    masks: tuple[tuple[Size, TokenMask], ...] = ()

    def mask(self, grid: Size, like: Tensor) -> TokenMask:
        """The mask for every row of the batch at a token grid, times the step's weight as above."""
        found = next((mask for size, mask in self.masks if size == grid), None)
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
    if not application.masked:
        return prepared
    return prepared._replace(masks=tuple((grid, _weighted_mask(prepared, grid, like)) for grid in grids))


def _weighted_mask(prepared: PreparedApplication, grid: Size, like: Tensor) -> TokenMask:
    mask = token_mask(prepared.application, prepared.layout, grid, like)
    if prepared.weight is None or prepared.application.scaled_late:
        return mask
    return mask._replace(factor=mask.factor * prepared.weight)


def token_mask(application: Application, layout: BatchLayout, grid: Size, like: Tensor) -> TokenMask:
    """The mask of a masked application for every row of the batch, or one for all where all have the same."""
    seen = None if application.places is None else _mask_rows(application, application.places, layout, grid, like)
    common = None if application.mask is None else _mask_rows(application, application.mask, layout, grid, like)
    if seen is None:
        assert common is not None
        return TokenMask(common)
    there = seen.sum(dim=-1, keepdim=True).clamp(max=1)
    return TokenMask(there if common is None else there * common, seen)


def _mask_rows(application: Application, mask: Mask | Places, layout: BatchLayout, grid: Size, like: Tensor) -> Tensor:
    """(B, L, 1 or R), or (1, L, 1 or R) where all rows have the same."""
    alike = len(set(layout.areas)) == 1
    weights = [
        application.mask_weights(mask, like, grid, layout.latent, area)
        for area in (layout.areas[:1] if alike else layout.areas)
    ]
    if alike and weights[0].shape[0] == 1:
        return weights[0]
    key = (like.device, like.dtype, isinstance(mask, Places), grid, layout)
    return application.cache.mask_rows(key, lambda: _in_rows(weights, layout))


def _in_rows(weights: list[Tensor], layout: BatchLayout) -> Tensor:
    """(M, L, ..) for each pass, or once for all -> (B, L, ..), each image with its frame's mask."""
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
