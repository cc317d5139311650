"""Weights for the images of a batch in turn, which reference each of them sees, and which prompt."""

import json
import math
import random
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from ..errors import WeightError


class Timing(str, Enum):
    """How weights go from the first to the last; "custom" takes them as they are given."""

    CUSTOM = "custom"
    LINEAR = "linear"
    EASE_IN_OUT = "ease_in_out"
    EASE_IN = "ease_in"
    EASE_OUT = "ease_out"
    RANDOM = "random"


class FrameMethod(str, Enum):
    """How the same weights go on from one reference to the next.

    `FULL`: each reference in turn by itself. `SHIFT`: from each reference to the one after it. `ALTERNATE`: the same, where
    one sequence keeps the even references and the other the odd ones, and each fades in and out by turns.
    """

    FULL = "full batch"
    SHIFT = "shift batches"
    ALTERNATE = "alternate batches"


class Ramp(NamedTuple):
    """A row of `frames` weights; before the frame `start` stands the first weight, from the frame `end` on the last."""

    timing: Timing = Timing.LINEAR
    frames: int = 0
    start: int = 0
    end: int = 9999
    seed: int = 0


class FramePlan(NamedTuple):
    """For each frame a weight, and the indices of the references of the first and, if there is one, the second sequence."""

    weights: tuple[float, ...]
    first: tuple[int, ...] = ()
    second: tuple[int, ...] = ()

    @property
    def complement(self) -> tuple[float, ...]:
        """What the second sequence weighs, so that both together weigh one."""
        return tuple(1 - weight for weight in self.weights)


def ramp_weights(given: Sequence[float], ramp: Ramp) -> tuple[float, ...]:
    """The weights of a ramp from the first given number to the last, 0 to 1 where none is given.

    With x from 0 to 1 over the moving frames: linear x; ease_in sin(pi x / 2); ease_out 1 - cos(pi x / 2); ease_in_out
    (1 - cos(pi x)) / 2; random a uniform number for each. "custom" are the given numbers, and nothing else counts.
    Raises `WeightError` where the start is not before the end.
    """
    if ramp.timing is Timing.CUSTOM:
        return tuple(given) or (0.0,)
    first, last = (given[0], given[-1]) if given else (0.0, 1.0)
    frames = max(ramp.frames, 2)
    end = min(ramp.end, frames)
    if not 0 <= ramp.start < end:
        raise WeightError(
            f"frame weights: found start_frame {ramp.start} and end_frame {ramp.end} in {frames} frames, expected a start "
            "before the end and inside the frames: change them in Frame Weights"
        )
    count = end - ramp.start
    if ramp.timing is Timing.RANDOM:
        draw = random.Random(ramp.seed)
        moving = [draw.uniform(first, last) for _ in range(count)]
    else:
        places = [index / (count - 1) for index in range(count - 1)] + [1.0]  # a lone moving frame has arrived
        moving = [last if x == 1 else first + (last - first) * EASES[ramp.timing](x) for x in places]
    return (*[first] * ramp.start, *moving, *[last] * (frames - end))


def frame_plan(
    weights: Sequence[float], references: int, method: FrameMethod, lead_in: int = 0, lead_out: int = 0
) -> FramePlan:
    """Repeats a row of weights over references, with `lead_in` frames on the first and `lead_out` frames on the last.

    While a sequence goes from reference k to k + 1, the first has k and the second k + 1; alternating, the first has
    the even one of the two, and where that is k + 1 the weights are 1 - w.
    Raises `WeightError` where there are too few references.
    """
    needed = 1 if method is FrameMethod.FULL else 2
    if references < needed:
        raise WeightError(
            f"frame weights: found {references} references, '{method.value}' needs {needed} or more: connect more images "
            "to Frame Weights, or choose 'full batch'"
        )
    row, count = tuple(weights), len(weights)
    if method is FrameMethod.FULL:
        plan = FramePlan(row * references, _each(range(references), count))
    else:
        turns = range(references - 1)
        swapped = [method is FrameMethod.ALTERNATE and turn % 2 == 1 for turn in turns]
        plan = FramePlan(
            tuple(1 - weight if swap else weight for swap in swapped for weight in row),
            _each([turn + swap for turn, swap in zip(turns, swapped, strict=True)], count),
            _each([turn + 1 - swap for turn, swap in zip(turns, swapped, strict=True)], count),
        )
    return _lengthened(plan, references, lead_in, lead_out)


def _each(indices: Sequence[int], count: int) -> tuple[int, ...]:
    return tuple(index for index in indices for _ in range(count))


def _lengthened(plan: FramePlan, references: int, lead_in: int, lead_out: int) -> FramePlan:
    def both(indices: tuple[int, ...]) -> tuple[int, ...]:
        return (*[0] * lead_in, *indices, *[references - 1] * lead_out) if indices else ()

    weights = (*plan.weights[:1] * lead_in, *plan.weights, *plan.weights[-1:] * lead_out)
    return FramePlan(weights, both(plan.first), both(plan.second))


def prompt_schedule(prompts: Sequence[str], frames: int, lead_in: int = 0) -> str:
    """A keyframe for each prompt, `frames` apart and the first after `lead_in`: lines of `"16": "a forest",`.

    This is the text that batch prompt schedules read (FizzNodes); quotation marks inside a prompt are escaped.
    """
    words = (json.dumps(prompt, ensure_ascii=False) for prompt in prompts)
    return "\n".join(f'"{index * frames + lead_in}": {word},' for index, word in enumerate(words))


EASES: dict[Timing, Callable[[float], float]] = {
    Timing.LINEAR: lambda x: x,
    Timing.EASE_IN: lambda x: math.sin(x * math.pi / 2),
    Timing.EASE_OUT: lambda x: 1 - math.cos(x * math.pi / 2),
    Timing.EASE_IN_OUT: lambda x: (1 - math.cos(x * math.pi)) / 2,
}
