"""The training loop: optimiser, learning rate, averaged weights, checkpoints to go on from, and the log of losses."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: the rate warms up, stays, and falls to nothing over the last part."""

    steps: int
    learning_rate: float
    warm_up: int = 100
    decay: float = 0.25
    average: float = 0.998
    save_every: int = 200

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        remaining = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up, remaining)


@dataclass
class Progress:
    """What a stage has behind it: steps, seconds, and the mean loss of every stretch of steps."""

    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])


class Training:
    """One stage of training: named tensors that learn, their running average, and a checkpoint file."""

    def __init__(self, name: str, parameters: dict[str, Tensor], schedule: Schedule, folder: Path) -> None:
        self.name, self.parameters, self.schedule = name, parameters, schedule
        self.average = {key: value.detach().clone() for key, value in parameters.items()}
        self.optimizer = torch.optim.AdamW(list(parameters.values()), lr=1e-9, betas=(0.9, 0.99), weight_decay=0.01)
        self.progress = Progress()
        self.file = folder / f"{name}.pt"

    def resume(self) -> None:
        """Takes up the checkpoint file when there is one."""
        if not self.file.exists():
            return
        saved = torch.load(self.file, map_location="cpu", weights_only=True)
        self._fill(self.parameters, saved["parameters"])
        self._fill(self.average, saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.progress = Progress(saved["step"], saved["seconds"], [tuple(pair) for pair in saved["losses"]])
        logger.info("%s: going on from step %d", self.name, self.progress.step)

    def save(self) -> None:
        """Writes the checkpoint file, whole or not at all."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        content = {
            "parameters": {key: value.detach() for key, value in self.parameters.items()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "losses": self.progress.losses,
        }
        torch.save(content, partial)
        partial.replace(self.file)

    def run(self, loss: Callable[[int], Tensor]) -> dict[str, Tensor]:
        """Takes all steps that remain, `loss` giving each step's loss, and returns the averaged weights."""
        self.resume()
        started, before = time.monotonic(), self.progress.seconds
        recent: list[float] = []
        bar = tqdm(desc=self.name, total=self.schedule.steps, initial=self.progress.step, mininterval=2)
        for step in range(self.progress.step, self.schedule.steps):
            recent.append(self._step(step, loss))
            self.progress.step, self.progress.seconds = step + 1, before + time.monotonic() - started
            bar.update()
            if len(recent) == 25:
                self.progress.losses.append((step + 1, sum(recent) / len(recent)))
                bar.set_postfix_str(f"loss={self.progress.losses[-1][1]:.4f}")
                recent = []
            if (step + 1) % self.schedule.save_every == 0:
                self.save()
        bar.close()
        self.save()
        return self.average

    def _step(self, step: int, loss: Callable[[int], Tensor]) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(step)
        value = loss(step)
        cast(Any, value).backward()  # which has no types in PyTorch, as the next step
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        cast(Any, self.optimizer).step()
        self.optimizer.zero_grad(set_to_none=True)
        keep = min(self.schedule.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, value_now in self.parameters.items():
                self.average[key].lerp_(value_now.detach(), 1 - keep)
        return float(value.detach())

    @staticmethod
    def _fill(target: dict[str, Tensor], source: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for key, value in target.items():
                value.copy_(source[key])
