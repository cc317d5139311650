"""Bars on processor time that mean the same on a slow machine, and late in a long process with much to collect."""

import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

UNIT = '{"key": {"shape": [1, 2, 3], "place": [0, 24]}}'
UNITS = 20_000
UNITS_SECONDS = 0.02  # what reading the units takes on the machine that the bars were set on, in a fresh process


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Holds that this thread spends at most `seconds` in the block; raises `AssertionError` with both numbers."""
    start = time.thread_time()
    yield
    spent = time.thread_time() - start
    if spent > seconds:
        allowed = seconds * slowness()
        assert spent <= allowed, f"{spent:.2f} s of processor time, at most {allowed:.2f} on this machine"


def slowness() -> float:
    """How many times as long as on that machine plain Python takes here and now, with this process's objects; at least 1."""
    text = f"[{', '.join([UNIT] * UNITS)}]"
    start = time.thread_time()
    json.loads(text)
    gc.collect()
    return max(1.0, (time.thread_time() - start) / UNITS_SECONDS)
