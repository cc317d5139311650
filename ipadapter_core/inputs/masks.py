"""Masks as they come through a socket, by one rule for every node."""

from typing import Any

from torch import Tensor

from ..errors import InputError
from ..limits import IMAGE_PIXELS
from .tensors import described, extremes, tensor_of, unit_values

EXPECTED = "masks [height, width], [masks, height, width] or [masks, 1, height, width]"


def read_masks(value: Any, where: str) -> Tensor:
    """Masks (M, H, W) in float32 from 0 to 1.

    (H, W) is one mask, (M, H, W) and (M, 1, H, W) are M; (M, H, W, 1), as an image of one channel lies, is read as M, too,
    unless its second dimension is 1. `where` says in an error which input of which node it is.
    Raises `InputError` for everything else.
    """
    mask = tensor_of(value, where, EXPECTED)
    if mask.ndim == 2:
        mask = mask.unsqueeze(0)
    elif mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask.squeeze(1)
    elif mask.ndim == 4 and mask.shape[-1] == 1:
        mask = mask.squeeze(-1)
    if mask.ndim != 3 or mask.shape[1] * mask.shape[2] > IMAGE_PIXELS:
        is_image = mask.ndim == 4
        hint = "put Convert Image to Mask before it" if is_image else "look at the node connected there"
        raise InputError(f"{where}: found {described(mask)}, expected {EXPECTED}: {hint}")
    return unit_values(mask, where, EXPECTED)


def is_black(mask: Tensor) -> bool:
    """Whether all masks are 0 everywhere."""
    return extremes(mask)[1] == 0
