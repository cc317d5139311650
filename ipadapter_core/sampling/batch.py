"""Which row of a batch belongs to which pass, frame and area."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..masks.token_grid import Area, Size
from .application import Application
from .polarity import PolarityRule, old_polarity_of_index


class Rows(NamedTuple):
    """How a model call's batch is made up: passes one after the other, each with the same pictures.

    `polarities`, `areas` and `passes`, ComfyUI's own indices, have an entry for each pass, `frames` the place in the whole
    batch of each picture of a pass; `latent` is the size of the latent that the model sees.
    """

    polarities: tuple[int, ...]
    frames: tuple[int, ...]
    areas: tuple[Area, ...]
    latent: Size
    passes: tuple[int, ...] = ()

    @property
    def batch(self) -> int:
        """How many pictures there are in all passes."""
        return len(self.polarities) * len(self.frames)


def seen_by(application: Application, rows: Rows) -> Rows:
    """The rows with the side that each pass has for an application."""
    if application.strength.sides is PolarityRule.BY_ROLE:
        return rows
    return rows._replace(polarities=tuple(old_polarity_of_index(index) for index in rows.passes))


def mask_rows(application: Application, rows: Rows, grid: Size, like: Tensor) -> Tensor:
    """The mask for every row of the batch, (B, L, 1), or (1, L, 1) where all rows have the same."""
    alike = len(set(rows.areas)) == 1
    weights = [
        application.mask_weights(like.device, like.dtype, grid, rows.latent, area)
        for area in (rows.areas[:1] if alike else rows.areas)
    ]
    if alike and weights[0].shape[0] == 1:
        return weights[0]
    return application.kept((like.device, like.dtype, grid, rows), lambda: _in_rows(weights, rows))


def _in_rows(weights: list[Tensor], rows: Rows) -> Tensor:
    """(M, L, 1) for each pass, or once for all -> (B, L, 1), each picture with its frame's mask."""
    of_pass = weights * (len(rows.areas) // len(weights))
    return torch.cat([one[[min(frame, one.shape[0] - 1) for frame in rows.frames]] for one in of_pass])


def _choice(application: Application, rows: Rows, device: torch.device) -> Tensor | None:
    if not application.per_frame:
        return None
    live = application.live.references if application.live else ()
    last = max(len(application.banks), len(live)) - 1
    return _index(application, tuple(2 * min(i, last) + side for side in rows.polarities for i in rows.frames), device)


def _places(application: Application, rows: Rows, count: int, device: torch.device) -> Tensor | None:
    """Which of `count` things each row of the batch takes: its frame's, the last for all that follow."""
    if count == 1:
        return None
    places = tuple(min(frame, count - 1) for frame in rows.frames) * len(rows.polarities)
    return _index(application, places, device)


def _index(application: Application, places: tuple[int, ...], device: torch.device) -> Tensor:
    return application.kept((device, places), lambda: torch.tensor(places, device=device))


def per_picture(tensor: Tensor, rows: int) -> Tensor:
    """(C, ...) -> (B, ...): repeats what a pass shares for each of its pictures."""
    return tensor.repeat_interleave(rows // tensor.shape[0], dim=0)
