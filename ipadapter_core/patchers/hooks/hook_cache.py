"""The hooks that were built for a run, kept for its next model calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ...sampling.application import Application
from ...sampling.run import Composed, Run

AT_MOST = 8  # sets of hooks in a run: other packs' guidance patches single calls, some of them anew at each step

Hooks = TypeVar("Hooks")


def cached_hooks(
    run: Run, applications: Sequence[Application], foreign: Mapping[Any, Any], build: Callable[[], Hooks]
) -> Hooks:
    """The hooks that were built for the same applications around the same foreign objects, or new ones."""
    for composed in run.composed:
        if _same(composed, applications, foreign):
            return composed.hooks
    hooks = build()
    run.composed.append(Composed(tuple(applications), dict(foreign), hooks))
    del run.composed[:-AT_MOST]
    return hooks


def _same(composed: Composed, applications: Sequence[Application], foreign: Mapping[Any, Any]) -> bool:
    """Whether they are for the very same objects."""
    return (
        len(composed.applications) == len(applications)
        and all(one is other for one, other in zip(composed.applications, applications, strict=True))
        and composed.foreign.keys() == foreign.keys()
        and all(composed.foreign[key] is foreign[key] for key in foreign)
    )
