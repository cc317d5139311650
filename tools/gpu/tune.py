"""The table by which a layer takes the kernel: every shape and number of tokens, each way of cutting the work, measured here.

A row says with which tile the kernel is clearly faster than separate calls on this generation of GPU, or that it is not.
"""

import json
import shutil
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...ipadapter_core.attention import kernel_table
from ...ipadapter_core.attention.kernel_table import KernelRow, Tile
from ..bench.timing import interleaved, paired
from .setup import Setup
from .shapes import Case, Shape, shapes
from .ways import Layer, fused, layer, plain

USUAL = Tile(64, 32, 4, 3)
TILES = (USUAL, Tile(128, 32, 8, 3), Tile(64, 64, 4, 2), Tile(128, 64, 8, 2), Tile(32, 32, 4, 2))
TOKENS, ADAPTERS = (4, 16, 128, 257), (2, 4)
CLEARLY = 0.9  # of the separate calls' time
REPEATS = 7


def the_kernel_is_tuned(setup: Setup) -> None:
    """Measures the table and writes it beside the report; `--keep-table` puts it into the pack."""
    if not setup.on_gpu:
        return setup.not_here("table", "rows for this generation of GPU")
    rows = measured(setup)
    file = setup.out / kernel_table.FILE.name
    write(rows, file, torch.cuda.get_device_name(setup.device))
    taken = sum(row.tile is not None for row in rows)
    setup.figure("table", "shapes where one kernel is clearly faster", taken, f"of {len(rows)}", file.name)


def measured(setup: Setup) -> list[KernelRow]:
    """A row for every kind of layer whose text is ours to compute."""
    kinds = {(one.width, one.length, one.text, one.heads): one for one in shapes(setup.tiny) if one.text}
    cases = [*(Case(tokens) for tokens in TOKENS), *(Case(16, number) for number in ADAPTERS)]
    return [_row(shape, case, setup) for shape in kinds.values() for case in cases]


def _row(shape: Shape, case: Case, setup: Setup) -> KernelRow:
    one = layer(shape, case, setup.device, setup.half)
    best, ratio = None, CLEARLY
    for tile in TILES:
        found = _ratio(one, tile, setup)
        if found < ratio:
            best, ratio = tile, found
    return KernelRow(generation(setup.device), shape.width, shape.length, shape.text, case.tokens, case.adapters, best)


def _ratio(one: Layer, tile: Tile, setup: Setup) -> float:
    """The kernel's time over that of separate calls; infinite where it does not fit the GPU."""
    from triton.runtime.errors import OutOfResources

    sides = {"kernel": partial(fused, one, tile), "calls": partial(plain, one)}
    try:
        readings = interleaved(sides, REPEATS, setup.device)
    except OutOfResources:
        return float("inf")
    return paired(readings["kernel"], readings["calls"])


def generation(device: torch.device) -> int:
    """The GPU's major compute capability."""
    return torch.cuda.get_device_capability(device)[0]


def write(rows: list[KernelRow], file: Path, name: str) -> None:
    """The rows of this generation in the table's file; those of other generations stay as they are."""
    old: dict[str, Any] = json.loads(kernel_table.FILE.read_text(encoding="utf-8"))
    here = {row.generation for row in rows}
    kept = [row for row in kernel_table.rows() if row.generation not in here]
    measured_on = {key: value for key, value in old["measured"].items() if int(key) not in here}
    measured_on |= {str(number): f"{name}, {date.today().isoformat()}, PyTorch {torch.__version__}" for number in here}
    lines = ",\n  ".join(
        json.dumps(kernel_table.as_data(row)) for row in sorted([*kept, *rows], key=lambda row: row[:-1])
    )
    file.write_text(f'{{"measured": {json.dumps(measured_on)},\n "rows": [\n  {lines}\n]}}\n', encoding="utf-8")


def keep(setup: Setup) -> None:
    """Puts the table that was measured into the pack."""
    shutil.copyfile(setup.out / kernel_table.FILE.name, kernel_table.FILE)
