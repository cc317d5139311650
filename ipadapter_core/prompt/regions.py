"""Image prompts, each for a region of the result, and text prompts for the same regions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import ImagePromptError
from .combine import combine, weigh
from .image_prompt import ImagePrompt

Conditioning = list[list[Any]]  # ComfyUI's: pairs of features and a dict


class Region(NamedTuple):
    """References for a place (M, H, W) in the result, one mask for each image of it or one for all, and words for it.

    Without a mask it is the rest: what no other region's mask covers.
    """

    prompt: ImagePrompt
    mask: Tensor | None = None
    weight: float = 1.0
    words: Conditioning | None = None


def regional_prompt(regions: Sequence[Region]) -> ImagePrompt:
    """One prompt in which every region's references act in their place; where regions overlap they add up."""
    masks = _masks(regions)
    return combine([weigh(one.prompt, one.weight, mask) for one, mask in zip(regions, masks, strict=True)])


def regional_words(
    regions: Sequence[Region], everywhere: Conditioning | None = None, strength: float = 1.0
) -> Conditioning:
    """The words of all regions, each under its mask, beside those for the whole image.

    Raises `ImagePromptError` where there are no words at all.
    """
    found = list(everywhere or [])
    for one, mask in zip(regions, _masks(regions), strict=True):
        place = {} if mask is None else {"mask": mask, "set_area_to_bounds": False, "mask_strength": strength}
        found += [[features, values | place] for features, values in one.words or []]
    if not found:
        raise ImagePromptError(
            "Regional Image Prompts was asked for a positive conditioning, but no words are connected: connect a prompt to "
            "positive, or to a region, or use the sampler's own prompt"
        )
    return found


def _masks(regions: Sequence[Region]) -> list[Tensor | None]:
    """Each region's mask; that of regions without one is what all others leave, at the size of the first mask."""
    given = [one.mask.reshape(-1, *one.mask.shape[-2:]).float() for one in regions if one.mask is not None]
    if not given:
        return [None] * len(regions)
    size = given[0].shape[-2:]
    sized = [one if one.shape[-2:] == size else _resized(one, size) for one in given]
    count = max(len(one) for one in sized)
    covered = torch.stack([one[torch.arange(count).clamp(max=len(one) - 1)] for one in sized]).sum(dim=0)
    rest = (1 - covered).clamp(0, 1)
    return [rest if one.mask is None else one.mask for one in regions]


def _resized(mask: Tensor, size: torch.Size) -> Tensor:
    return interpolate(mask.unsqueeze(1), size=size, mode="area")[:, 0]
