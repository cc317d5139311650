"""What a run and each of its steps decide once, so that no layer has to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..masks.token_grid import Area
from .application import Application
from .polarity import GuiderRoles, polarities
from .timeline import Timeline

Scale = Tensor | tuple[()] | None


class Step(NamedTuple):
    """One step of one guider call.

    `polarities` by index into the guider's list; `pictures` in a pass; `scales` in the order of the applications: None when
    one rests, else what multiplies its output: nothing ("as it is", an empty tuple) or a tensor of one or one-per-frame
    values; `areas` by the uuid of the entries that cover a part of the canvas, which is the latent (B, C, H, W) of the step.
    """

    polarities: tuple[int, ...]
    pictures: int
    scales: tuple[Scale, ...]
    areas: dict[Any, Area]
    canvas: Tensor


@dataclass(frozen=True, eq=False)
class Run:
    """One sampling run: who is positive, what time it is, the patches composed for it, and what a step has worked out."""

    roles: GuiderRoles | None = None
    timeline: Timeline | None = None
    composed: list = field(default_factory=list)
    memory: dict = field(default_factory=dict)

    def step(
        self, conds: Sequence[Sequence[Mapping] | None], x: Tensor, sigma: Tensor, applications: Sequence[Application]
    ) -> Step:
        """Decides a step. Reads `sigma` from the device at most once, and only when some weight depends on it."""
        timed = self.timeline is not None and not all(application.strength.whole_run for application in applications)
        now = float(sigma.max()) if timed else None
        return Step(
            polarities=polarities(self.roles, conds),
            pictures=x.shape[0],
            scales=tuple(self._scale(application, now, x) for application in applications),
            areas=_areas(conds, x),
            canvas=x,
        )

    def _scale(self, application: Application, now: float | None, like: Tensor) -> Scale:
        strength = application.strength
        factor = 1.0
        if now is not None and self.timeline is not None:
            if not self.timeline.covers(strength.start_percent, strength.end_percent, now):
                return None
            if strength.schedule is not None:
                factor = strength.schedule.at(self.timeline.percent(now))
        if factor == 0:
            return None
        if strength.frames is not None:
            weights = application.frame_weights(like.device)
            return weights if strength.schedule is None else weights * factor
        return () if strength.schedule is None else torch.full((1,), factor, device=like.device)


def _areas(conds: Sequence[Sequence[Mapping] | None], x: Tensor) -> dict[Any, Area]:
    """The part of the canvas that each entry with an area covers, cut at the canvas' edge as ComfyUI does."""
    height, width = x.shape[-2:]
    found = {}
    for entry in (entry for entries in conds if entries for entry in entries if entry.get("area") is not None):
        area = tuple(entry["area"])
        rows, columns = area[len(area) // 2 - 2 : len(area) // 2]
        top, left = area[-2:]
        rows, columns = min(rows, height - top), min(columns, width - left)
        found[entry.get("uuid")] = Area(top / height, left / width, rows / height, columns / width)
    return found
