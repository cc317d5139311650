"""References that are not the training's images to the pixel, so that an adapter cannot learn to copy."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

SMALLEST = 0.6  # of an image's sides, what a view shows at least
FLIPPED = 0.5  # of all views
PIXELS = 16  # of a view's side at least


def view_of(image: Tensor, generator: torch.Generator) -> Tensor:
    """A part of an image (H, W, C) at another size and place, every other time mirrored; colours stay as they are."""
    height, width = image.shape[:2]
    draws = [float(draw) for draw in torch.rand(4, generator=generator)]
    share = SMALLEST + (1 - SMALLEST) * draws[0]
    rows, columns = (max(min(PIXELS, side), round(side * share)) for side in (height, width))
    top, left = round(draws[1] * (height - rows)), round(draws[2] * (width - columns))
    part = image[top : top + rows, left : left + columns]
    if draws[3] < FLIPPED:
        part = part.flip(1)
    planes = part.movedim(-1, 0).unsqueeze(0)
    sized = interpolate(planes, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
    return sized[0].movedim(0, -1).clamp(0, 1)
