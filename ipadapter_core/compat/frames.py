"""Weights over the frames of an animation, as *IPAdapter Weights* hands them on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, cast

from torch import Tensor

from ..errors import WeightError
from ..weights.frame_weights import FrameMethod, Ramp, Timing, frame_plan, ramp_weights
from ..weights.parsing import read_numbers


@dataclass(frozen=True)
class Strategy:
    """The inputs of *IPAdapter Weights* by their names there, and how many images it had: the WEIGHTS_STRATEGY socket."""

    weights: str = "1.0, 0.0"
    timing: str = Timing.LINEAR.value
    frames: int = 0
    start_frame: int = 0
    end_frame: int = 9999
    add_starting_frames: int = 0
    add_ending_frames: int = 0
    method: str = FrameMethod.FULL.value
    frame_count: int = 0

    def of(self, pictures: Tensor | None) -> "Strategy":
        """With the number of the images that are there."""
        return replace(self, frame_count=0 if pictures is None else len(pictures))

    def __getitem__(self, name: str) -> Any:
        """An input by its name, as programs read it."""
        return getattr(self, name)


def strategy_of(value: Any) -> Strategy:
    """What the WEIGHTS_STRATEGY socket carries, also where another program made it; raises `WeightError` for anything else."""
    if isinstance(value, Strategy):
        return value
    if not isinstance(value, Mapping):
        raise WeightError(
            f"weights_strategy: found {type(value).__name__}, expected what IPAdapter Weights gives: connect its last output"
        )
    given = cast(Mapping[str, Any], value)
    return Strategy(**{name: given[name] for name in (field.name for field in fields(Strategy)) if name in given})


class Frames(NamedTuple):
    """A weight for each frame, and the images (F, H, W, C) that one or two applications see in turn."""

    weights: list[float]
    first: Tensor | None = None
    second: Tensor | None = None

    @property
    def backwards(self) -> list[float]:
        """The weights from the last frame to the first, which is what 'weights_invert' has always been."""
        return self.weights[::-1]


def frames_of(strategy: Strategy, pictures: Tensor | None) -> Frames:
    """The frames of a strategy; without images one row of weights.

    Raises `WeightError` where the words cannot be read, the start is not before the end, or a method needs more images.
    """
    ramp = Ramp(Timing(strategy.timing), strategy.frames, strategy.start_frame, strategy.end_frame)
    row = ramp_weights(read_numbers(strategy.weights, "weights of IPAdapter Weights"), ramp)
    if pictures is None:
        return Frames(list(row))
    method, lead_in, lead_out = FrameMethod(strategy.method), strategy.add_starting_frames, strategy.add_ending_frames
    plan = frame_plan(row, len(pictures), method, lead_in, lead_out)
    weights = _turning(row, len(pictures), lead_in, lead_out) if method is FrameMethod.ALTERNATE else list(plan.weights)
    second = pictures[list(plan.second)] if plan.second else None
    return Frames(weights, pictures[list(plan.first)], second)


def _turning(row: tuple[float, ...], pictures: int, lead_in: int, lead_out: int) -> list[float]:
    """A row by turns as it is and upside down within its own range."""
    mirrored = [max(row) - (weight - min(row)) for weight in row]
    weights = [weight for turn in range(pictures - 1) for weight in (mirrored if turn % 2 else row)]
    return [*weights[:1] * lead_in, *weights, *weights[-1:] * lead_out]


def schedule_of_prompts(strategy: Strategy, text: str) -> str:
    """A keyframe for each line of a text, one for each image of the strategy; the last line holds for all that follow."""
    prompts = [line for line in text.split("\n") if line.strip()][: strategy.frame_count]
    if not prompts:
        return ""
    prompts += [prompts[-1]] * (strategy.frame_count - len(prompts))
    places = [index * strategy.frames + strategy.add_starting_frames for index in range(strategy.frame_count)]
    if strategy.add_starting_frames:
        places, prompts = [0, *places], [prompts[0], *prompts]
    if strategy.add_ending_frames:
        end = strategy.frame_count * strategy.frames + strategy.add_starting_frames
        places, prompts = [*places, end], [*prompts, prompts[-1]]
    words = (json.dumps(prompt, ensure_ascii=False) for prompt in prompts)
    return "".join(f'"{place}": {word},\n' for place, word in zip(places, words, strict=True))
