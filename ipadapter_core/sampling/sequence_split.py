"""A layer's tokens where an engine gives each of several GPUs a part of the sequence."""

from typing import NamedTuple


class SequenceSplit(NamedTuple):
    """How many GPUs share a sequence, and which of them this one is."""

    rank: int
    world: int


class TokenPart(NamedTuple):
    """The tokens of a whole sequence that a layer is called with; past the sequence's end there is padding."""

    start: int
    length: int
    padding: int


def token_part(split: SequenceSplit, tokens: int, total: int, unit: int) -> TokenPart | None:
    """Which part of `total` tokens a layer sees that is called with `tokens`; None where that is not one of equal parts.

    `unit` tokens stay together (a row of a grid, say). The last parts are filled up, so that all are of the same length.
    """
    units, rest = divmod(total, unit)
    each = -(-units // split.world) * unit
    if rest or each != tokens:
        return None
    return TokenPart(split.rank * each, each, split.world * each - total)
