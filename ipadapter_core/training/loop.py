"""The training loop: optimiser, learning rate, averaged weights, checkpoints to go on from, and the log of losses."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from comfy.model_management import InterruptProcessingException

from ..errors import TrainingError
from .checkpoint_file import TrainingState, read_state, write_state
from .optimisers import make_optimiser
from .schedule import Schedule

logger = logging.getLogger(__name__)

STRETCH = 25  # steps whose mean loss is one point of a curve
CANCELLED = (InterruptProcessingException, KeyboardInterrupt)


@dataclass
class Progress:
    """What a training has behind it: the loss of each step, and the seconds that all took together."""

    losses: list[float] = field(default_factory=list[float])
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """How many steps have been taken."""
        return len(self.losses)

    def curve(self, stretch: int = STRETCH) -> list[tuple[int, float]]:
        """The mean loss of every whole stretch of steps, by the step at its end."""
        ends = range(stretch, self.step + 1, stretch)
        return [(end, fmean(self.losses[end - stretch : end])) for end in ends]


Watch = Callable[["Training"], None]


class Training:
    """Named tensors that learn, their running average, and a checkpoint file, if any, to go on from.

    `identity` says what must be the same for a checkpoint to fit: data, settings, the weights it began with.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Tensor],
        schedule: Schedule,
        file: Path | None = None,
        identity: str = "",
    ) -> None:
        self.name, self.parameters, self.schedule = name, dict(parameters), schedule
        self.average = {key: value.detach().clone() for key, value in parameters.items()}
        self.optimizer = make_optimiser(schedule.optimiser, parameters.values())
        self.progress = Progress()
        self.file, self.identity = file, identity
        self._stepping = False

    def resume(self) -> None:
        """Takes up the checkpoint file when there is one."""
        if self.file is None or not self.file.exists():
            return
        saved = read_state(self.file, self.identity)
        self._fill(self.parameters, saved.parameters)
        self._fill(self.average, saved.average)
        self.optimizer.load_state_dict(saved.optimiser)
        self.progress = Progress([float(one) for one in saved.losses], saved.seconds)
        logger.info("%s: going on from step %d", self.name, self.progress.step)

    def save(self) -> None:
        """Writes the checkpoint file, if there is to be one, whole or not at all."""
        if self.file is None:
            return
        losses = torch.tensor(self.progress.losses, dtype=torch.float64)
        state = self.optimizer.state_dict()
        write_state(
            self.file, TrainingState(self.parameters, self.average, state, losses, self.progress.seconds), self.identity
        )

    def run(
        self, loss: Callable[[int], Tensor], watch: Watch | None = None, first: Watch | None = None
    ) -> dict[str, Tensor]:
        """Takes all steps that remain and returns the averaged weights.

        `loss` gives the loss of each batch by its number, `watch` is called after each step, `first` after the first
        gradients. Cancelled by ComfyUI or from the keyboard, it keeps what was learned until then.
        Raises `TrainingError` where a loss is no number any more, or a checkpoint cannot be written or read.
        """
        self.resume()
        started, before = time.monotonic(), self.progress.seconds
        with tqdm(desc=self.name, total=self.schedule.steps, initial=self.progress.step, mininterval=2) as bar:
            try:
                while self.progress.step < self.schedule.steps:
                    value = self._step(self.progress.step, loss, first)
                    first = None
                    self.progress.losses.append(value)
                    self.progress.seconds = before + time.monotonic() - started
                    bar.update()
                    bar.set_postfix_str(f"loss={fmean(self.progress.losses[-STRETCH:]):.4f}", refresh=False)
                    if self.progress.step % self.schedule.save_every == 0:
                        self.save()
                    if watch is not None:
                        watch(self)
            except CANCELLED:
                if not self._stepping:
                    self.save()
                raise
        self.save()
        return self.average

    def _step(self, step: int, loss: Callable[[int], Tensor], first: Watch | None) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(step)
        self.optimizer.zero_grad(set_to_none=True)
        total, parts = 0.0, self.schedule.accumulate
        for part in range(parts):
            value = loss(step * parts + part) / parts
            total += float(value.detach())
            self._check(total, step)
            cast(Any, value).backward()  # which has no types in PyTorch, as the next step
        if first is not None:
            first(self)
        gradients = torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), self.schedule.clip or math.inf)
        self._check(float(gradients), step)
        self._stepping = True
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        keep = min(self.schedule.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, value_now in self.parameters.items():
                self.average[key].lerp_(value_now.detach(), 1 - keep)
        self._stepping = False
        return total

    def _check(self, number: float, step: int) -> None:
        """Raises `TrainingError` for a loss or a gradient that is no number any more; nothing has been changed by it yet."""
        if math.isfinite(number):
            return
        kept = (
            f"the checkpoint in {self.file.name} stays" if self.file and self.file.exists() else "nothing was kept yet"
        )
        raise TrainingError(
            f"the loss or its gradient became {number} at step {step + 1}, expected a number; {kept}: set a lower "
            "learning_rate or precision fp32 in Train IP-Adapter"
        )

    @staticmethod
    def _fill(target: dict[str, Tensor], source: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for key, value in target.items():
                value.copy_(source[key])
