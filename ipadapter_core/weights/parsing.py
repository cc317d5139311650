"""Weights as users write them: blocks, curves and rows of numbers. Errors say which word cannot be read."""

import math
import re
from collections.abc import Iterable, Sequence

from ..errors import WeightError
from ..limits import WEIGHT
from ..quoting import quoted
from .layer_presets import BlockRef
from .layer_weights import EXECUTION, Override
from .schedule import WeightSchedule

INDEX = re.compile(r"\d{1,6}")
ENTRIES = re.compile(r"[,;\n]")
INDICES = re.compile(r"(\d{1,6})\s*-\s*(\d{1,6})")


def read_overrides(text: str) -> tuple[Override, ...]:
    """Reads `input 4: 0.5, middle: 0, output: 1.2` or, by index in running order, `3: 1.0, 6: 0.5`."""
    where = "text of Layer Weights"
    overrides = tuple(Override(_block(left, where), right) for left, right in _pairs(text, where))
    if len({override.by_index for override in overrides}) > 1:
        index = next(override.word for override in overrides if override.by_index)
        raise WeightError(
            f"{where}: found the index '{index}' beside names of blocks, expected one or the other: write them all as "
            "'input 4: 0.5', or all as '3: 0.5'"
        )
    return overrides


def read_schedule(text: str) -> WeightSchedule:
    """Reads points of a curve, `0: 0, 0.5: 1, 1: 0.3`, each a place in the run (0 to 1) and a multiplier."""
    where = "points of Weight Schedule"
    return WeightSchedule(tuple((_percent(left, where), right) for left, right in _pairs(text, where)))


def read_blocks(text: str, places: Sequence[BlockRef], where: str) -> frozenset[tuple[str, int]]:
    """Reads `input 4, middle`, `output`, or indices and ranges in running order, `3, 5-8`; no text is every block.

    Returns part and number of each. Raises `WeightError` for a word that names none of `places`.
    """
    chosen: set[BlockRef] = set() if text.strip() else set(places)
    for entry in _entries(text):
        indices = INDICES.fullmatch(entry)
        if indices:
            first, last = int(indices[1]), int(indices[2])
            named = [place for place in places if first <= place.index <= last]
        else:
            word = Override(_block(entry, where), 1.0)
            named = [place for place in places if word.names(place)]
        if not named:
            listed = ", ".join(place.name for place in places)
            raise WeightError(
                f"{where}: found '{quoted(entry)}', the model has the blocks {listed} (0 to {len(places) - 1}): choose among "
                "them"
            )
        chosen.update(named)
    return frozenset((place.part, place.number) for place in chosen)


def read_numbers(text: str, where: str) -> tuple[float, ...]:
    """Reads `1, 0.5, 0`; `where` says in an error which input of which node to change."""
    return tuple(_number(word, where) for word in _entries(text))


def written_numbers(numbers: Iterable[float]) -> str:
    """What `read_numbers` reads again, to nine digits."""
    return ", ".join(f"{number:.9g}" for number in numbers)


def read_words(text: str) -> list[str]:
    """Reads entries between commas, semicolons or line ends."""
    return _entries(text)


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in ENTRIES.split(text) if entry.strip()]


def _pairs(text: str, where: str) -> list[tuple[str, float]]:
    pairs = [(entry, *entry.partition(":")) for entry in _entries(text)]
    for entry, _, colon, _ in pairs:
        if not colon:
            raise WeightError(
                f"{where}: found '{quoted(entry)}', expected a colon and a number after it, as in 'input 4: 0.5'"
            )
    return [(left.strip(), _number(right.strip(), where)) for _, left, _, right in pairs]


def _number(word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not -WEIGHT <= value <= WEIGHT:
        raise WeightError(f"{where}: found '{quoted(word)}', expected a number such as 0.5, from {-WEIGHT} to {WEIGHT}")
    return value


def _percent(word: str, where: str) -> float:
    value = _number(word, where)
    if not 0 <= value <= 1:
        raise WeightError(f"{where}: found '{quoted(word)}' before the colon, expected a place in the run from 0 to 1")
    return value


def _block(word: str, where: str) -> str:
    part, _, number = " ".join(word.lower().split()).partition(" ")
    if INDEX.fullmatch(part) and not number:
        return str(int(part))
    wrong_number = number != "0" if part == "middle" else not INDEX.fullmatch(number)
    if part not in EXECUTION or (number and wrong_number):
        raise WeightError(
            f"{where}: found '{quoted(word)}', expected a block such as 'input 4', 'middle' or 'output 3', a whole part such "
            "as 'output', or an index such as '3'"
        )
    return f"{part} {int(number)}" if number and part != "middle" else part
