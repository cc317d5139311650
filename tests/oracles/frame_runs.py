"""Runs over frames whose every layer is seen, and what each row of a batch should have added."""

import torch
from pack.tests.oracles.seen_queries import (
    Row,
    apply,
    references,
    tokens_of,
    worst,
)

from comfy.patcher_extension import WrappersMP

SIZE = (9, 11)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


class Frames:
    """Says which frame of the whole batch each row of a model call is, by its values."""

    def __init__(self, model):
        self.whole, self.calls = None, []
        model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "test", self.predict)
        model.set_model_unet_function_wrapper(self)

    def predict(self, executor, x, *args, **kwargs):
        self.whole = x
        return executor(x, *args, **kwargs)

    def __call__(self, apply_model, given):
        rows = given["input"]
        self.calls.append([next(i for i, one in enumerate(self.whole) if torch.equal(one, row)) for row in rows])
        return apply_model(rows, given["timestep"], **given["c"])


def check(seen, frames, patched, adapter, given, of_frame):
    """The error when each row has what `of_frame(frame, grid)` says: (reference, weight, mask)."""
    layers = len(seen) // len(frames.calls)
    by_call = {id(call): frames.calls[number // layers] for number, call in enumerate(seen)}

    def rows(call):
        shown, made = by_call[id(call)], []
        for row, frame in enumerate(shown):
            side = 1 - call.passes[row * len(call.passes) // len(shown)]
            reference, weight, mask = of_frame(frame, call.grid)
            made.append(Row(reference, side, mask, weight))
        return made

    return worst(seen, patched, adapter, given, rows)


WEIGHTS = (0.3125, 0.0, 1.5)  # float32 has them exactly


def everything(model, adapter, count, mask_count, seed=0):
    """Three references in turn, three weights in turn, some masks in turn: and what each frame ought to get."""
    given = references(count, weights=(0.7, 0.0, 1.2, 1.0, 1.0)[:count])
    masks = noise(mask_count, 23, 31, seed=seed)
    patched = apply(model, adapter, given, masks, per_frame=True, frames=WEIGHTS)
    known = {}

    def of_frame(frame, grid):
        key = (min(frame, mask_count - 1), grid)
        if key not in known:
            known[key] = tokens_of(masks[key[0]].numpy(), grid, (*SIZE, 0, 0), SIZE)
        reference = min(frame, count - 1)
        return reference, WEIGHTS[min(frame, 2)] * given[reference].weight, known[key]

    return patched, given, of_frame
