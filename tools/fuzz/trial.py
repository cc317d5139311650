"""Runs one kind of input many times and counts how it ended; what ends otherwise is an `AssertionError` with the input."""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from pack.ipadapter_core.errors import IPAdapterError
from pack.ipadapter_core.limits import MESSAGE
from pack.tools.fuzz.kinds import Kind
from pack.tools.time_bars import slowness

SECONDS = 2.0  # of processor time that an input may take
MEGABYTES = 500  # that an input may take beyond the file


@dataclass
class Tally:
    """How the inputs of a kind ended."""

    name: str
    refused: int = 0
    accepted: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    message: int = 0

    @property
    def tried(self) -> int:
        """All of them."""
        return self.refused + self.accepted


def run(kind: Kind, count: int, start: int) -> Tally:
    """Tries `count` inputs, the same for the same `start`."""
    tally = Tally(kind.name)

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )
    @given(kind.inputs)
    def each(value: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _try_out(kind, value, Path(folder), tally)

    each()
    return tally


def _try_out(kind: Kind, value: Any, folder: Path, tally: Tally) -> None:
    before, peak = time.thread_time(), _peak()
    try:
        kind.try_out(value, folder)
        tally.accepted += 1
    except IPAdapterError as error:
        tally.refused += 1
        tally.message = max(tally.message, len(str(error)))
        if not 20 <= len(str(error)) <= MESSAGE:
            raise AssertionError(f"a message of {len(str(error))} characters: {str(error)[:200]}") from error
    seconds, megabytes = time.thread_time() - before, _peak() - peak
    tally.seconds, tally.megabytes = max(tally.seconds, seconds), max(tally.megabytes, megabytes)
    if (seconds > SECONDS and seconds > SECONDS * slowness()) or megabytes > MEGABYTES:
        raise AssertionError(f"{seconds:.1f} s and {megabytes:.0f} MB for one input")


def _peak() -> float:
    """The most memory that the process has had so far, in MB."""
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return info.peak_wset / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
