"""For which layers the fused kernel is taken, and how its work is cut: what was measured, by generation of GPU and shape.

`python3 dev.py gpu --keep-table` measures the rows. A layer that no row covers keeps its separate attention calls.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("kernel_table.json")


class Tile(NamedTuple):
    """How the kernel cuts its work: queries and keys of one block, warps, and stages of loading ahead."""

    queries: int
    keys: int
    warps: int
    stages: int


class KernelRow(NamedTuple):
    """One measured shape: major compute capability, channels of a head, latent, text and image tokens, adapters.

    `tile` is None where separate calls are as fast.
    """

    generation: int
    width: int
    length: int
    text: int
    tokens: int
    adapters: int
    tile: Tile | None


@cache
def rows() -> tuple[KernelRow, ...]:
    """The table of the pack."""
    return tuple(from_data(one) for one in json.loads(FILE.read_text(encoding="utf-8"))["rows"])


@cache
def tile_for(generation: int, width: int, length: int, text: int, tokens: int, adapters: int) -> Tile | None:
    """The tile for a layer, None for separate calls.

    Of the rows of this generation and head width, the one that was measured at the most latent tokens that are not more
    than the layer has, and at no fewer text tokens, image tokens and adapters.
    """
    near = [
        row
        for row in rows()
        if (row.generation, row.width) == (generation, width)
        and row.length <= length
        and (row.text >= text and row.tokens >= tokens and row.adapters >= adapters)
    ]
    best = min(near, key=lambda row: (-row.length, row.adapters, row.tokens, row.text), default=None)
    return None if best is None else best.tile


def as_data(row: KernelRow) -> list[Any]:
    """A row as JSON has it: the numbers in order, then the tile's, or null."""
    return [*row[:-1], None if row.tile is None else list(row.tile)]


def from_data(data: list[Any]) -> KernelRow:
    """The row of what `as_data` has made."""
    *numbers, tile = data
    return KernelRow(*numbers, tile=None if tile is None else Tile(*tile))
