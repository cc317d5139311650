"""How long a training goes on and how fast it learns: the rate's course over its steps."""

import math
from dataclasses import dataclass
from enum import Enum

from .optimisers import OptimiserName


class RateCourse(str, Enum):
    """How the learning rate goes after it has warmed up."""

    HOLD_AND_FALL = "hold, then fall"
    COSINE = "cosine"
    CONSTANT = "constant"


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: the rate warms up, then goes its course; by default it stays, and falls over the last part.

    `average` is how much of the running average of the weights each step keeps, `accumulate` the number of batches whose
    gradients make one step, `clip` the longest gradient that is let through, 0 for any.
    """

    steps: int
    learning_rate: float
    warm_up: int = 100
    decay: float = 0.25
    average: float = 0.998
    save_every: int = 200
    course: RateCourse = RateCourse.HOLD_AND_FALL
    accumulate: int = 1
    clip: float = 1.0
    optimiser: OptimiserName = OptimiserName.ADAMW

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warm_up), COURSES[self.course](self, step))


def _hold_and_fall(schedule: Schedule, step: int) -> float:
    return (schedule.steps - step) / max(1.0, schedule.decay * schedule.steps)


def _cosine(schedule: Schedule, step: int) -> float:
    return (1 + math.cos(math.pi * min(1.0, step / max(1, schedule.steps)))) / 2


def _constant(_schedule: Schedule, _step: int) -> float:
    return 1.0


COURSES = {
    RateCourse.HOLD_AND_FALL: _hold_and_fall,
    RateCourse.COSINE: _cosine,
    RateCourse.CONSTANT: _constant,
}
