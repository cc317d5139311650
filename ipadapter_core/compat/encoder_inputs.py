"""What ComfyUI_IPAdapter_plus made of images where it differs from ours: hidden parts, and images cut into tiles."""

from math import isqrt

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.transforms.functional import InterpolationMode, center_crop, resize

import comfy.model_management

from ..checkpoint.spec import Feature
from ..encoders.features import FeatureRequest, picture_features
from ..encoders.image_encoder import ImageEncoder
from ..encoders.preprocess import Preprocessing, pixels_for
from ..host import intermediate
from ..images.fit import ResizeMode
from ..images.tiles import pool_grid

CENTER = Preprocessing(ResizeMode.CENTER, None)


def old_features(wanted: FeatureRequest, encoder: ImageEncoder, pictures: Tensor, mask: Tensor | None = None) -> Tensor:
    """The features (B, ...) of images (B, H, W, C) cropped to the centre, transparency ignored, under a mask (M, H, W).

    The mask multiplies the normalised pixels, which are not rounded after it.
    """
    pixels = pixels_for(encoder, pictures[..., :3], CENTER)
    if mask is None:
        return picture_features(wanted, encoder, pixels)
    shown = _square_mask(mask, encoder.image_size).movedim(1, -1)
    normal = (pixels - torch.tensor(encoder.image_mean)) / torch.tensor(encoder.image_std) * shown
    comfy.model_management.load_model_gpu(encoder.patcher)
    with torch.inference_mode():
        out = encoder.model(pixel_values=normal.movedim(-1, 1).to(encoder.load_device), intermediate_output=-2)
    return intermediate(out[1] if wanted.feature is Feature.HIDDEN else out[2])


def _square_mask(mask: Tensor, size: int) -> Tensor:
    """The centre of a mask (M, H, W) as (M, 1, S, S), cropped before it is resized, and not clipped after it."""
    planes = mask.unsqueeze(1).float()
    if planes.shape[-2:] == (size, size):
        return planes
    return resize(
        center_crop(planes, [min(planes.shape[-2:])]), [size, size], InterpolationMode.BICUBIC, antialias=True
    )


def old_tile_features(wanted: FeatureRequest, encoder: ImageEncoder, pictures: Tensor, count: int) -> Tensor:
    """The features (B, ...) of images cut into count x count tiles, each cropped to its centre and encoded.

    Rows and columns that `count` leaves over are cut off. Features that are one vector were read as a square image of
    numbers, which has no meaning; where their number is no square, they become the mean.
    """
    height, width = pictures.shape[1] // count, pictures.shape[2] // count
    even = pictures[:, : height * count, : width * count]
    tiles = rearrange(even, "b (r h) (c w) d -> (b r c) h w d", r=count, c=count)
    features = old_features(wanted, encoder, tiles)
    side = isqrt(features.shape[-1])
    if features.ndim == 3 or side * side != features.shape[-1]:
        return pool_grid(features, count)
    grid = rearrange(features, "(b r c) (h w) -> b 1 (r h) (c w)", r=count, c=count, h=side)
    return adaptive_avg_pool2d(grid, side).flatten(1)
