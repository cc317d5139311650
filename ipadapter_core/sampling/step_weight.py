"""How strong an application is in one step: the part of its weight that the run decides."""

from typing import NamedTuple

import torch
from torch import Tensor

from .device_cache import DeviceCache
from .strength import Strength
from .timeline import Timeline


class StepWeight(NamedTuple):
    """Whether an application acts in a step, and what its output is multiplied by then.

    `multiplier` is (1,), or (F,) with one for each image of the batch; None for one.
    """

    active: bool
    multiplier: Tensor | None = None


RESTING, AS_IT_IS = StepWeight(False), StepWeight(True)


def step_weight(
    strength: Strength, cache: DeviceCache, timeline: Timeline | None, sigma: float | None, device: torch.device
) -> StepWeight:
    """The weight at a noise level; `sigma` is None where no weight of the run depends on it."""
    factor = 1.0
    if sigma is not None and timeline is not None:
        if not timeline.covers(strength.start_percent, strength.end_percent, sigma):
            return RESTING
        if strength.schedule is not None:
            factor = strength.schedule.at(timeline.percent(sigma))
    if factor == 0:
        return RESTING
    if strength.frames is not None:
        frames = cache.frames(device, strength.frames)
        return StepWeight(True, frames if strength.schedule is None else frames * factor)
    if strength.schedule is None:
        return AS_IT_IS
    return StepWeight(True, torch.full((1,), factor, device=device))
