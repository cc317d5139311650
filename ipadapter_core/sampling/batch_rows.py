"""Which rows of a batch a part of it is, by what both are made of: the same memory, or the same values."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .batch_layout import BatchLayout

Arguments = Mapping[str, Any]  # of a network's call, by name


def rows_of_part(whole: Arguments, part: Arguments, rows: int, layout: BatchLayout) -> tuple[int, ...] | None:
    """The place in the whole batch of each of the part's rows; None where that cannot be known.

    Rows that were cut out without a copy lie in the memory of the whole batch. Of copies the values tell: latent and text
    together. Rows that are alike in all of that are taken for one another only where it makes no difference.
    """
    pairs = [
        (whole[name], one)
        for name, one in part.items()
        if _is_batch(one, rows) and _is_batch(whole.get(name), layout.batch) and whole[name].shape[1:] == one.shape[1:]
    ]
    for batch, one in pairs:
        found = _rows_in_memory(batch, one)
        if found is not None:
            return found
    return _rows_by_value(pairs, rows, layout)


def _is_batch(given: Any, rows: int) -> bool:
    return isinstance(given, Tensor) and given.ndim > 1 and given.shape[0] == rows


def _rows_in_memory(batch: Tensor, part: Tensor) -> tuple[int, ...] | None:
    """The rows of a view into the batch's own memory."""
    stride, memory = batch.stride(0), batch.untyped_storage().data_ptr()
    if not stride or not memory or part.untyped_storage().data_ptr() != memory or part.dtype != batch.dtype:
        return None
    start, uneven = divmod(int(part.storage_offset()) - int(batch.storage_offset()), stride)
    step, rest = divmod(part.stride(0), stride)
    rows = range(start, start + step * len(part), step or 1) if len(part) > 1 else range(start, start + 1)
    known = not uneven and (not rest or len(part) == 1) and part.stride()[1:] == batch.stride()[1:]
    return tuple(rows) if known and len(rows) == len(part) and start >= 0 and rows[-1] < len(batch) else None


def _rows_by_value(pairs: Sequence[tuple[Tensor, Tensor]], rows: int, layout: BatchLayout) -> tuple[int, ...] | None:
    """The rows whose values are the same in everything that has the same values anywhere."""
    alike = torch.ones(rows, layout.batch, dtype=torch.bool)
    told = False
    for batch, part in pairs:
        batch = batch.to(part.device, part.dtype)
        same = torch.stack([(part == row).flatten(1).all(dim=1) for row in batch], dim=1).cpu()
        if bool(same.any()):
            alike, told = alike & same, True
    candidates = [[int(place) for place in torch.nonzero(row).flatten()] for row in alike]
    if not told or any(len({_meaning(layout, row) for row in found}) != 1 for found in candidates):
        return None
    return tuple(found[0] for found in candidates)


def _meaning(layout: BatchLayout, row: int) -> tuple[Any, ...]:
    """Everything by which an application treats a row."""
    number = row // layout.images
    return layout.polarities[number], layout.passes[number], layout.areas[number], layout.frames[row]
