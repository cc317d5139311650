"""What every part of the run shares: the device, the sizes, where its files go, and the findings with their bars."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch

from ..bench.timing import wait


class Finding(NamedTuple):
    """One figure beside its bar. `passed` is None where the device cannot show it, or where nothing is demanded of it."""

    part: str
    what: str
    value: float | None
    bar: float | None
    unit: str
    passed: bool | None
    note: str = ""


@dataclass
class Setup:
    """Where it runs, at which sizes, and what was found so far; `say` hears every finding at once."""

    device: torch.device
    tiny: bool
    out: Path
    repeats: int
    peer: Path | None = None
    say: Callable[[Finding], None] = lambda finding: None
    findings: list[Finding] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether there are CUDA's own means."""
        return self.device.type == "cuda"

    @property
    def half(self) -> torch.dtype:
        """The dtype that UNets run in: fp16, and bf16 on a CPU, which convolves in no other half precision."""
        return torch.float16 if self.on_gpu else torch.bfloat16

    def at_most(self, part: str, what: str, value: float, bar: float, unit: str = "", note: str = "") -> None:
        """A figure that should not be larger than its bar; what is no number misses it."""
        self._add(Finding(part, what, value, bar, unit, not math.isnan(value) and value <= bar, note))

    def holds(self, part: str, what: str, truth: bool, note: str = "") -> None:
        """A law that holds or does not."""
        self._add(Finding(part, what, None, None, "", truth, note))

    def figure(self, part: str, what: str, value: float, unit: str, note: str = "") -> None:
        """A figure without a bar."""
        self._add(Finding(part, what, value, None, unit, None, note))

    def not_here(self, part: str, what: str, needs: str = "needs a CUDA GPU") -> None:
        """What this device cannot show."""
        self._add(Finding(part, what, None, None, "", None, needs))

    def timed(self, name: str, work: Callable[["Setup"], None]) -> None:
        """A part of the run; one that breaks is a miss of its own, and the rest still runs."""
        start = perf_counter()
        try:
            work(self)
            wait(self.device)
        except Exception as error:  # noqa: BLE001 - a short loan of a GPU should bring whatever else it can
            self.holds(name, "the part ran to its end", False, f"{type(error).__name__}: {str(error)[:200]}")
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
            if self.on_gpu:
                torch.cuda.empty_cache()

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.say(finding)


def relative(difference: torch.Tensor, to: torch.Tensor) -> float:
    """The norm of a difference over a norm, in float64."""
    return float(difference.double().norm() / to.double().norm())
