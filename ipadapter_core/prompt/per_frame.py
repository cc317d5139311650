"""References and prompts that change from image to image of a batch."""

from collections.abc import Sequence
from dataclasses import replace
from math import lcm
from typing import Any

import torch
from torch import Tensor

from ..errors import ImagePromptError
from ..weights.frame_weights import FramePlan
from .image_prompt import ImagePrompt, Reference

Conditioning = list[list[Any]]  # ComfyUI's: pairs of features and a dict


def references_over_frames(prompt: ImagePrompt, plan: FramePlan) -> tuple[ImagePrompt, ImagePrompt]:
    """Two prompts with a reference for each frame: the plan's first sequence with its weights, the second with the rest.

    For two *Apply IP-Adapter* that give image i reference i. Where there is no second sequence, that prompt is silent.
    """
    return (
        prompt.with_references(_in_turn(prompt.references, plan.first, plan.weights)),
        prompt.with_references(_in_turn(prompt.references, plan.second, plan.complement))
        if plan.second
        else prompt.with_references((replace(prompt.references[0], weight=0.0),)),
    )


def _in_turn(
    references: Sequence[Reference], indices: Sequence[int], weights: Sequence[float]
) -> tuple[Reference, ...]:
    chosen = [(references[index], weight) for index, weight in zip(indices, weights, strict=True)]
    return tuple(replace(one, weight=one.weight * weight) for one, weight in chosen)


def words_over_frames(words: Sequence[Conditioning], frames: int, lead_in: int = 0, lead_out: int = 0) -> Conditioning:
    """One conditioning whose row i is what frame i is told: each of `words` for `frames` frames, between the leads.

    Rows of unlike lengths are repeated to a common one, as ComfyUI does. Raises `ImagePromptError` for conditionings of
    several entries: those already change over the run or in space.
    """
    if any(len(one) != 1 for one in words):
        raise ImagePromptError(
            f"found a prompt that is {max(map(len, words))} conditionings at once, expected one: leave hooks and schedules on "
            "CLIP out of Prompts over Frames"
        )
    order = [index for index in range(len(words)) for _ in range(frames)]
    order = [*[0] * lead_in, *order, *[len(words) - 1] * lead_out]
    features, values = zip(*(one[0] for one in words), strict=True)
    length = lcm(*(one.shape[1] for one in features))
    rows = torch.cat([one.repeat(1, length // one.shape[1], 1) for one in features])[order]
    pooled: list[Tensor | None] = [one.get("pooled_output") for one in values]
    known = [one for one in pooled if one is not None]
    return [[rows, values[0] | ({"pooled_output": torch.cat(known)[order]} if len(known) == len(words) else {})]]
