"""What a run and each of its steps decide once, so that no layer has to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from ..masks.token_grid import Area
from ..prompt.words import TextTokens
from .application import Application
from .polarity import GuiderRoles, are_announced, polarities
from .step_weight import StepWeight, step_weight
from .text_attention import texts_of
from .timeline import Timeline


class Step(NamedTuple):
    """One step of one guider call.

    `polarities` by index into the guider's list; `pictures` in a pass; `weights` in the order of the applications; `areas`
    by the uuid of the entries that cover a part of the canvas, which is the latent (B, C, H, W) of the step; `texts` by uuid
    of those that see references, None where no reference has words. `announced` where every list says its side itself.
    """

    polarities: tuple[int, ...]
    pictures: int
    weights: tuple[StepWeight, ...]
    areas: dict[Any, Area]
    canvas: Tensor
    texts: Mapping[Any, TextTokens] | None = None
    announced: bool = False


class Composed(NamedTuple):
    """Hooks, the applications that they are for, and the foreign objects that they stand around."""

    applications: tuple[Application, ...]
    foreign: dict[Any, Any]
    hooks: Any


@dataclass(frozen=True, eq=False)
class Run:
    """One sampling run: who is positive, what time it is, the hooks composed for it, and what a step has worked out.

    `timed` has, for an adapter that reads the timestep, the step and what was made for it.
    """

    roles: GuiderRoles | None = None
    timeline: Timeline | None = None
    composed: list[Composed] = field(default_factory=list[Composed])
    timed: dict[Application, tuple[Step, Any]] = field(default_factory=dict[Application, tuple[Step, Any]])

    def step(
        self,
        conds: Sequence[Sequence[Mapping[str, Any]] | None],
        x: Tensor,
        sigma: Tensor,
        applications: Sequence[Application],
    ) -> Step:
        """Decides a step. Reads `sigma` from the device at most once, and only when some weight depends on it."""
        timed = self.timeline is not None and not all(application.strength.whole_run for application in applications)
        now = float(sigma.max()) if timed else None
        sides = polarities(self.roles, conds)
        return Step(
            polarities=sides,
            pictures=x.shape[0],
            weights=tuple(
                step_weight(application.strength, application.cache, self.timeline, now, x.device)
                for application in applications
            ),
            areas=_areas(conds, x),
            canvas=x,
            texts=texts_of(applications, sides, conds),
            announced=are_announced(conds),
        )


def _areas(conds: Sequence[Sequence[Mapping[str, Any]] | None], x: Tensor) -> dict[Any, Area]:
    """The part of the canvas that each entry with an area covers, cut at the canvas' edge as ComfyUI does."""
    height, width = x.shape[-2:]
    found: dict[Any, Area] = {}
    for entry in (entry for entries in conds if entries for entry in entries if entry.get("area") is not None):
        area = tuple(entry["area"])
        rows, columns = area[len(area) // 2 - 2 : len(area) // 2]
        top, left = area[-2:]
        rows, columns = min(rows, height - top), min(columns, width - left)
        found[entry.get("uuid")] = Area(top / height, left / width, rows / height, columns / width)
    return found
