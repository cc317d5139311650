"""Curves that come through a CURVE socket."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

from ..errors import InputError
from ..quoting import quoted


class Curve(Protocol):
    """What ComfyUI's own curves have in common."""

    points: Sequence[tuple[float, float]]

    def interp(self, x: float) -> float:
        """The value at a place from 0 to 1."""
        ...


def read_curve(value: Any, where: str) -> Curve:
    """The very same curve; raises `InputError` for what has no pairs of numbers as points, or cannot be read between them."""
    points = getattr(value, "points", None)
    if not callable(getattr(value, "interp", None)) or not isinstance(points, Sequence) or not points:
        found = type(value).__name__
    else:
        wrong = [point for point in cast(Sequence[Any], points) if not _is_pair(point)]
        if not wrong:
            return value
        found = f"the point {quoted(wrong[0])}"
    raise InputError(f"{where}: found {found}, expected a curve with points and interp: connect Curve Editor")


def _is_pair(point: Any) -> bool:
    return (
        isinstance(point, list | tuple)
        and [type(one) in (int, float) for one in cast(Sequence[Any], point)] == [True] * 2
    )
