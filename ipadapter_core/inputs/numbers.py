"""Numbers as they come through a socket: a widget's bounds hold for what is typed only, not for what is connected."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, cast

from ..errors import InputError
from ..limits import FRAMES, WEIGHT
from ..quoting import quoted


def read_number(value: Any, where: str) -> float:
    """A finite number of a size that models can multiply with; raises `InputError` otherwise."""
    if not _is_between(value, -WEIGHT, WEIGHT):
        raise InputError(
            f"{where}: found '{quoted(value)}', expected a number from {-WEIGHT} to {WEIGHT}: change it, or the node "
            "connected there"
        )
    return float(value)


def read_numbers(values: Sequence[Any], where: str) -> list[float]:
    """A row of such numbers, one for each image or frame; raises `InputError` for an empty one or one without end."""
    if not 0 < len(values) <= FRAMES:
        raise InputError(
            f"{where}: found {len(values)} numbers, expected from 1 to {FRAMES}: change the node connected there"
        )
    return [read_number(value, f"entry {place} of {where}") for place, value in enumerate(values)]


def read_count(value: Any, where: str, least: int, most: int) -> int:
    """A whole number between two bounds; raises `InputError` otherwise."""
    if not _is_between(value, least, most) or not float(value).is_integer():
        raise InputError(
            f"{where}: found '{quoted(value)}', expected a whole number from {least} to {most}: change it, or the node "
            "connected there"
        )
    return int(value)


def _is_between(value: Any, least: int, most: int) -> bool:
    """Whether it is a number, of numpy's kinds or a truth value too, and neither NaN nor outside."""
    if not isinstance(value, Real):
        return False
    number = cast(Any, value)
    return bool(least <= number <= most)
