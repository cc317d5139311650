"""The hooks that were built for a run, kept for its next model calls."""

from collections.abc import Callable
from typing import Any, TypeVar

from ...sampling.application import Application
from ...sampling.run import Run

REMEMBERED = 8  # sets of hooks in a run: other packs' guidance patches single calls, some of them anew at each step


Hooks = TypeVar("Hooks")


def kept(run: Run, applications: list[Application], foreign: dict[Any, Any], build: Callable[[], Hooks]) -> Hooks:
    """The hooks that were built for the same applications around the same foreign objects, or new ones."""
    for key, hooks in run.composed:
        if _same(key, (applications, foreign)):
            return hooks
    hooks = build()
    run.composed.append(((list(applications), dict(foreign)), hooks))
    del run.composed[:-REMEMBERED]
    return hooks


def _same(left: tuple[list, dict], right: tuple[list, dict]) -> bool:
    """Whether two states of the hooks hold the very same objects."""
    (applications, foreign), (others, other_foreign) = left, right
    return (
        len(applications) == len(others)
        and all(one is other for one, other in zip(applications, others, strict=True))
        and foreign.keys() == other_foreign.keys()
        and all(foreign[key] is other_foreign[key] for key in foreign)
    )
