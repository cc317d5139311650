"""Arithmetic of image prompts: several into one, and how strongly and where references act."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import ImagePromptError
from ..masks.canvas_mask import CanvasMask, canvas_mask, product
from .features import each, leading
from .image_prompt import EncodedImage, ImagePrompt, Reference


class Combination(str, Enum):
    """Ways to make one image prompt of several. All but `CONCAT` make one new image before it is projected."""

    CONCAT = "concat"
    ADD = "add"
    SUBTRACT = "subtract"
    AVERAGE = "average"
    NORM_AVERAGE = "norm average"
    MAX = "max"
    MIN = "min"


class ReferenceMode(str, Enum):
    """Which references an image of a batch attends to."""

    TOGETHER = "together"
    PER_FRAME = "one per frame"


class MaskBatch(str, Enum):
    """What the masks of a batch belong to."""

    PER_REFERENCE = "one per reference"
    PER_FRAME = "one per frame"


def combine(
    prompts: Sequence[ImagePrompt], method: Combination = Combination.CONCAT, weights: Sequence[float] = ()
) -> ImagePrompt:
    """One prompt of several, each with a weight of its own; weights that are not given are 1.

    `CONCAT` keeps every reference, its weight multiplied. The others make one reference of all, with features as
    `COMBINED` says and the first one's negative.
    Raises `ImagePromptError` where prompts do not fit together or cannot be combined in this way.
    """
    if not prompts:
        raise ImagePromptError("found no image prompts to combine, expected one or more: connect or give at least one")
    if len(weights) > len(prompts):
        raise ImagePromptError(
            f"found {len(weights)} weights for {len(prompts)} image prompts, expected at most one each: shorten weights "
            "of Combine Image Prompts"
        )
    weights = [*weights, *[1.0] * (len(prompts) - len(weights))]
    weighed = [weigh(prompt, weight) for prompt, weight in zip(prompts, weights, strict=True)]
    _check_kinds(weighed, method)
    references = tuple(reference for prompt in weighed for reference in prompt.references)
    sources = "; ".join(dict.fromkeys(prompt.made_from for prompt in weighed if prompt.made_from))
    if method is Combination.CONCAT:
        return replace(weighed[0], references=references, made_from=sources)
    made_from = f"{method.value} of ({sources})" if sources else ""
    return replace(weighed[0], references=(_combined(references, method),), made_from=made_from)


def weigh(
    prompt: ImagePrompt,
    weight: float,
    masks: Tensor | None = None,
    batch: MaskBatch = MaskBatch.PER_FRAME,
) -> ImagePrompt:
    """The prompt with its references' weights multiplied, and confined to masks (M, H, W) over the result.

    With `PER_FRAME` each reference gets all masks, one for each image of the result. With `PER_REFERENCE` each gets one,
    the last mask holding for all that follow. Masks that were there before are multiplied.
    Raises `ImagePromptError` where there are more masks than references to give them to.
    """
    references = tuple(replace(reference, weight=reference.weight * weight) for reference in prompt.references)
    if masks is None:
        return prompt.with_references(references)
    canvas = canvas_mask(masks)
    count = len(canvas.values)
    if batch is MaskBatch.PER_FRAME:
        own = [canvas] * len(references)
    elif count > len(references):
        raise ImagePromptError(
            f"found {count} masks for {len(references)} references, expected at most one each: set mask_batch of "
            f"Set Reference Weight to '{MaskBatch.PER_FRAME.value}', or give it fewer masks"
        )
    else:
        each = [canvas.picture(number) for number in range(count)]
        own = [each[min(index, count - 1)] for index in range(len(references))]
    common: dict[tuple[int, int], CanvasMask] = {}  # references that shared one mask share one again
    return prompt.with_references(
        tuple(replace(one, mask=_confined(one.mask, mask, common)) for one, mask in zip(references, own, strict=True))
    )


def _confined(before: CanvasMask | None, mask: CanvasMask, common: dict[tuple[int, int], CanvasMask]) -> CanvasMask:
    if before is None:
        return mask
    if (id(before), id(mask)) not in common:
        common[id(before), id(mask)] = product(before, mask)
    return common[id(before), id(mask)]


def _check_kinds(prompts: Sequence[ImagePrompt], method: Combination) -> None:
    """References that stay side by side may have been selected from images, so that they have patches each of its own."""
    kinds = [
        (number, one.feature.value, one.encoder, tuple(leading(reference.image.features).shape[1:]))
        for number, one in enumerate(prompts)
        for reference in one.references
    ]
    sizes = [shape[-1:] if method is Combination.CONCAT else shape for *_, shape in kinds]
    for kind, size in zip(kinds, sizes, strict=True):
        if (*kind[1:3], size) != (*kinds[0][1:3], sizes[0]):
            (number, feature, encoder, shape), (_, wanted, first, first_shape) = kind, kinds[0]
            raise ImagePromptError(
                f"image prompt {number} is {feature} {list(shape)} of {encoder}, image prompt 0 is {wanted} "
                f"{list(first_shape)} of {first}: give Combine Image Prompts references that were encoded for one IP-Adapter"
            )


def _combined(references: tuple[Reference, ...], method: Combination) -> Reference:
    if any(reference.mask is not None or reference.words is not None for reference in references):
        raise ImagePromptError(
            f"'{method.value}' makes one reference of {len(references)}, but some have a mask or words of their own: combine "
            "them with concat in Combine Image Prompts, or put Set Reference Weight or Words for Reference after it"
        )
    parts = [reference.image.features for reference in references]
    if method is not Combination.AVERAGE and not isinstance(parts[0], Tensor):
        raise ImagePromptError(
            f"'{method.value}' has no meaning for references that are made of several features: choose concat or average in "
            "Combine Image Prompts"
        )
    weights = torch.tensor([reference.weight for reference in references], dtype=torch.float64)
    if method in (Combination.AVERAGE, Combination.NORM_AVERAGE) and float(weights.sum()) == 0:
        raise ImagePromptError(
            f"'{method.value}' divides by the sum of the weights, and it is 0: change weights of Combine Image Prompts"
        )
    return Reference(EncodedImage(each(partial(_part, method, weights), *parts), references[0].image.negative))


def _part(method: Combination, weights: Tensor, *parts: Tensor) -> Tensor:
    features = torch.stack(parts)
    return COMBINED[method](features, weights.to(features).view(-1, *[1] * (features.ndim - 1)))


def _average(features: Tensor, weights: Tensor) -> Tensor:
    return (features * weights).sum(dim=0) / weights.sum()


def _lengths(features: Tensor) -> Tensor:
    return cast(Any, features).norm(dim=-1, keepdim=True)  # which has no types in PyTorch


def _norm_average(features: Tensor, weights: Tensor) -> Tensor:
    lengths = _lengths(features)
    tiny = torch.finfo(features.dtype).tiny
    direction = _average(features / lengths.clamp(min=tiny), weights)
    return _average(lengths, weights) * direction / _lengths(direction).clamp(min=tiny)


def _difference(features: Tensor, weights: Tensor) -> Tensor:
    first, *others = features * weights
    return first - torch.stack(others).mean(dim=0) if others else first


# Features (R, 1, ..., E) and weights w (R, 1, ..., 1) of R references to (1, ..., E):
#   add           sum w e
#   subtract      w_0 e_0 - mean of the other w e
#   average       sum w e / sum w
#   norm average  the direction of sum w e/|e|, with the length sum w |e| / sum w; |.| is the norm of one vector
#   max, min      of w e, elementwise
COMBINED: dict[Combination, Callable[[Tensor, Tensor], Tensor]] = {
    Combination.ADD: lambda features, weights: (features * weights).sum(dim=0),
    Combination.SUBTRACT: _difference,
    Combination.AVERAGE: _average,
    Combination.NORM_AVERAGE: _norm_average,
    Combination.MAX: lambda features, weights: (features * weights).amax(dim=0),
    Combination.MIN: lambda features, weights: (features * weights).amin(dim=0),
}
