"""A mask that selects what an adapter reads of an image, after the encoder has seen all of it."""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checkpoint.enums import ProjectorKind
from ..checkpoint.spec import AdapterSpec
from ..errors import ImagePromptError
from .preprocess import Preprocessing, fitted_masks

SETS = (ProjectorKind.RESAMPLER, ProjectorKind.TIME_RESAMPLER, ProjectorKind.PERCEIVER)  # read features as a set
DIMMED = 0.25  # of its brightness is left of a patch that was not selected, where people look at it


def selected_patches(spec: AdapterSpec, masks: Tensor, view: Preprocessing, features: Tensor, seen: Tensor) -> Tensor:
    """Which of the features (B, L, E) of images seen as (B, H, W, 3) are white in masks (M, h, w): (B, L) of booleans.

    A patch is, when at least half of it is white. What comes before the patches, CLIP's class token, has looked at the whole
    image, so it goes with the first patch that goes; a mask that is white everywhere selects everything.
    Raises `ImagePromptError` where an adapter reads no patches, or a mask selects none.
    """
    if spec.projector.kind not in SETS or features.ndim != 3:
        raise ImagePromptError(
            f"{spec.file} ({spec.format}) does not read an image patch by patch, expected a plus adapter for masks that "
            "select patches: set mask_use of Encode Reference Image to 'pixels', or load a plus adapter in Load IP-Adapter"
        )
    rows, columns = patch_grid(features.shape[1], (seen.shape[1], seen.shape[2]))
    white = fitted_masks(masks, seen.shape[1], view)
    patches = interpolate(white, size=(rows, columns), mode="area").flatten(1) >= 0.5
    patches = patches | (masks >= 1).flatten(1).all(dim=1, keepdim=True).to(patches.device)
    if not bool(patches.any(dim=1).all()):
        raise ImagePromptError(
            f"a mask of Encode Reference Image leaves none of {rows} x {columns} patches, expected at least one that is half "
            "white: draw a larger part white, or set mask_use to 'pixels'"
        )
    whole = patches.all(dim=1, keepdim=True).expand(-1, features.shape[1] - rows * columns)
    return torch.cat((whole, patches), dim=1)[torch.arange(len(features)).clamp(max=len(patches) - 1)]


def patch_grid(tokens: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the patches among the tokens of an image of a size, of which one may be a class token."""
    aspect = size[0] / size[1]
    patches = tokens if tokens % _rows(tokens, aspect) == 0 else tokens - 1
    rows = _rows(patches, aspect)
    return rows, patches // rows


def _rows(patches: int, aspect: float) -> int:
    return max(1, round(math.sqrt(patches * aspect)))


def dimmed(seen: Tensor, selected: Tensor) -> Tensor:
    """The pixels (B, H, W, 3) with what was not selected (B, L) in the dark, for people to look at."""
    height, width = seen.shape[1:3]
    rows, columns = patch_grid(selected.shape[1], (height, width))
    patches = torch.unflatten(selected[:, -rows * columns :].to(seen), 1, (1, rows, columns))
    light = interpolate(patches, size=(height, width), mode="nearest-exact").movedim(1, -1)
    return seen * (DIMMED + (1 - DIMMED) * light)
