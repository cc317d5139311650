"""What a run and each of its steps decide once, so that no layer has to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .application import Application
from .masks import Area
from .polarity import GuiderRoles, polarity_of_index
from .timeline import Timeline


class Step(NamedTuple):
    """One step of one guider call.

    `polarities` by index into the guider's list; `pictures` in a pass; `scales` by the application's number: None when it
    rests, else what multiplies its output: nothing ("as it is", an empty tuple) or a tensor of one or one-per-frame
    values; `areas` by the uuid of the entries that cover a part of the canvas.
    """

    polarities: tuple[int, ...]
    pictures: int
    scales: dict[int, Tensor | tuple[()] | None]
    areas: dict[Any, Area]


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
        known = (self.roles.polarity(entries) if self.roles else None for entries in conds)
        timed = self.timeline is not None and not all(application.strength.whole_run for application in applications)
        now = float(sigma.max()) if timed else None
        return Step(
            polarities=tuple(polarity_of_index(i) if side is None else side for i, side in enumerate(known)),
            pictures=x.shape[0],
            scales={application.number: self._scale(application, now, x) for application in applications},
            areas=_areas(conds, x),
        )

    def _scale(self, application: Application, now: float | None, like: Tensor) -> Tensor | tuple[()] | None:
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
            return torch.tensor([factor * weight for weight in strength.frames], device=like.device)
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
