"""What workers answer with: plain data that travels between processes and machines."""

from dataclasses import dataclass, field
from enum import Enum


class State(str, Enum):
    """What became of a job."""

    DONE = "done"
    BROKEN = "broken"  # its workflow fails wherever it runs: recorded once, not tried again
    LOST = "lost"  # nothing is wrong with it: the next run tries again
    UNFIT = "unfit"  # this worker has other models or versions than the rest


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    key: str
    state: State
    worker: str
    seconds: float = 0.0
    image: bytes = b""
    scores: dict[str, float | None] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Inventory:
    """What a worker renders with; `problem` is why it cannot."""

    worker: str
    versions: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)  # SHA-256 by file, "" where it is missing
    device: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Gone:
    """Instead of an answer: the worker ended and cannot be had again."""

    problem: str
