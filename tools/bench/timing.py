"""Interleaved timing: every side in every repetition, in a turning order, so that what the machine does meets all alike.

On a CPU with one thread the clock is the thread's own processor time: what else the machine runs is not counted. With more
threads it is the wall's, on a GPU that of its events. The C
library is told to keep the memory that it has got (`kept_memory`): whether it
hands a buffer back to the system between two calls is chance, and then costs more than what is measured here.
"""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from time import perf_counter, thread_time

import torch

Work = Callable[[], object]
SHORTEST = 1e-2  # seconds that one reading takes at least: shorter work is repeated inside it


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h
USUAL_TRIM, USUAL_MAPS, NEVER = 128 * 1024, 65536, 2**31 - 1


@contextmanager
def kept_memory() -> Iterator[None]:
    """Lets glibc's allocator keep what is freed until the end; does nothing under another C library."""
    library = ctypes.CDLL(None) if hasattr(ctypes, "CDLL") and not hasattr(ctypes, "WinDLL") else None
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        library.mallopt(M_MMAP_MAX, USUAL_MAPS)
        library.mallopt(M_TRIM_THRESHOLD, USUAL_TRIM)
        library.malloc_trim(0)


def wait(device: torch.device) -> None:
    """Until the device has done everything that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Work, times: int, device: torch.device) -> float:
    """How long one call takes, from `times` calls in a row; on a GPU by its own events."""
    if device.type == "cuda":
        return _by_events(work, times, device)
    clock = thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else perf_counter
    start = clock()
    for _ in range(times):
        work()
    return (clock() - start) / times


def _by_events(work: Work, times: int, device: torch.device) -> float:
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        wait(device)
        start.record()
        for _ in range(times):
            work()
        end.record()
        end.synchronize()
    return start.elapsed_time(end) / 1e3 / times


def interleaved(sides: Mapping[str, Work], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each side in each repetition."""
    slowest = max(min(seconds(work, 1, device) for _ in range(2)) for work in sides.values())
    times = max(1, round(SHORTEST / max(slowest, 1e-9)))
    names = list(sides)
    readings: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            readings[name].append(seconds(sides[name], times, device))
    return readings


def summed(parts: Sequence[tuple[int, Sequence[float]]]) -> list[float]:
    """Each repetition's total over layers that are counted several times."""
    return [sum(count * values[turn] for count, values in parts) for turn in range(len(parts[0][1]))]


def uncertainty(values: Sequence[float], others: Sequence[float]) -> float:
    """The standard error of `paired`, from the median distance to the median, as of a normal distribution."""
    ratios = [one / other for one, other in zip(values, others, strict=True)]
    middle = median(ratios)
    return 1.2533 * 1.4826 * median(abs(one - middle) for one in ratios) / len(ratios) ** 0.5


def paired(values: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of readings that were taken together."""
    return median(one / other for one, other in zip(values, others, strict=True))
