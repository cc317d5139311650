"""Images made ready for an encoder of 224 pixels: *Prep Image For ClipVision* and *IPAdapter Noise*."""

from enum import Enum

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.functional import InterpolationMode, center_crop, resize, to_pil_image, to_tensor

from ..images.noise import Noise, add_noise, blurred
from ..images.sharpen import sharpen

SIZE = 224
LARGEST_SEED = 1_000_000_007
RESAMPLING = ("LANCZOS", "BICUBIC", "HAMMING", "BILINEAR", "BOX", "NEAREST")


class Crop(str, Enum):
    """Which part of an image that is not square is kept."""

    TOP = "top"
    BOTTOM = "bottom"
    LEFT = "left"
    RIGHT = "right"
    CENTER = "center"
    PAD = "pad"


def prepared(pictures: Tensor, resampling: str, crop: Crop, sharpening: float, size: int = SIZE) -> Tensor:
    """Images (B, H, W, C) as squares (B, S, S, C) of 8 bits, then sharpened; what lies beyond the edge is black."""
    planes = _square(pictures.movedim(-1, 1), crop)
    method = Image.Resampling[resampling]
    small = torch.stack([to_tensor(to_pil_image(one.cpu()).resize((size, size), method)) for one in planes])
    return sharpen(small, sharpening, border="constant").movedim(1, -1)


def _square(planes: Tensor, crop: Crop) -> Tensor:
    height, width = planes.shape[-2:]
    side = min(height, width)
    if crop is Crop.PAD:
        down, across = max(width - height, 0) // 2, max(height - width, 0) // 2
        return pad(planes, (across, across, down, down))
    top = {Crop.TOP: 0, Crop.BOTTOM: height - side}.get(crop, (height - side) // 2)
    left = {Crop.LEFT: 0, Crop.RIGHT: width - side}.get(crop, (width - side) // 2)
    return planes[..., top : top + side, left : left + side]


def noise_picture(kind: Noise, strength: float, blur: int, pictures: Tensor | None) -> Tensor:
    """A noisy image (B, 224, 224, C); the seed follows from the image, so that the same one has the same noise.

    Where there is an image, numbers are drawn channel by channel, since it lies like that in memory.
    """
    start = torch.zeros(1, SIZE, SIZE, 3)
    if pictures is not None:
        planes = center_crop(pictures.movedim(-1, 1), [min(pictures.shape[1:3])])
        planes = resize(planes, [SIZE, SIZE], InterpolationMode.BICUBIC, antialias=True)
        start = planes.contiguous().movedim(1, -1)
    seed = int(start.sum().item()) % LARGEST_SEED
    return blurred(add_noise(start, kind, strength, seed), blur)
