"""Long and large images as tiles, each with its place: evenly, or the way that it was."""

from math import ceil
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import InterpolationMode, center_crop, resize, to_pil_image, to_tensor

from ..images.fit import ResizeMode, within_aspect
from ..images.sharpen import sharpen
from ..images.tiles import cut, tile_boxes, tile_counts, tile_masks
from ..images.transparency import laid_on_grey
from ..masks.canvas_mask import CanvasMask, canvas_mask, product

SIDE = 256  # of a tile, there
MOST = 4  # tiles along an image
NEARLY_SQUARE = (0.75, 1.33)


class Tile(NamedTuple):
    """A part (B, S, S, C) of the images, its place for the model, and the same place (M, H, W) to be looked at."""

    picture: Tensor
    mask: Tensor | CanvasMask
    shown: Tensor


def tiles_of(pictures: Tensor, mask: Tensor | None, sharpening: float) -> list[Tile]:
    """The tiles of images (B, H, W, C), a share of a mask (M, H, W) over the result for each; all shares add up to it."""
    pictures = laid_on_grey(pictures)
    height, width = pictures.shape[1:3]
    boxes = tile_boxes(height, width, *tile_counts(height, width))
    places = tile_masks(boxes, height, width)
    tiles: list[Tile] = []
    for part, place in zip(cut(pictures, boxes), places, strict=True):
        sharp = sharpen(part.movedim(-1, 1), sharpening).movedim(1, -1)
        own: Tensor | CanvasMask = place.unsqueeze(0)
        if mask is not None:
            own = product(canvas_mask(place), canvas_mask(mask))
        tiles.append(Tile(sharp, own, place.unsqueeze(0)))
    return tiles


def old_tiles_of(pictures: Tensor, mask: Tensor | None, sharpening: float) -> list[Tile]:
    """The tiles that they were: 256 pixels, two by two of the centre of a nearly square image, else up to four in a row.

    Tiles that overlap both have the mask there; what is cut off of the image is cut off of the mask, too.
    """
    height, width = pictures.shape[1:3]
    planes = pictures[..., :3].movedim(-1, 1)
    place = torch.ones(1, height, width) if mask is None else mask
    place = resize(place.unsqueeze(1), [height, width], InterpolationMode.BICUBIC, antialias=True)
    planes, place = (
        within_aspect(one, ResizeMode.CENTER, 2 * MOST) for one in (planes, place)
    )  # more is cut off anyway
    height, width = planes.shape[-2:]
    if NEARLY_SQUARE[0] < height / width < NEARLY_SQUARE[1]:
        square = min(height, width)
        planes, place, size = center_crop(planes, [square]), center_crop(place, [square]), (2 * SIDE, 2 * SIDE)
    elif height < width:
        size = (SIDE, int(SIDE * width / height))
    else:
        size = (int(SIDE * height / width), SIDE)
    planes = torch.stack(
        [to_tensor(to_pil_image(one).resize((size[1], size[0]), Image.Resampling.LANCZOS)) for one in planes]
    )
    place = resize(place, list(size), InterpolationMode.BICUBIC, antialias=True)
    longest = [min(side, MOST * SIDE) for side in size]
    planes, place = center_crop(planes, longest), center_crop(place, longest).squeeze(1)
    planes = sharpen(planes, sharpening, border="constant")
    return [_tile(planes, place, top, left) for top in _starts(longest[0]) for left in _starts(longest[1])]


def _starts(length: int) -> list[int]:
    """Where tiles begin along a side."""
    count = ceil(length / SIDE)
    overlap = (count * SIDE - length) / max(count - 1, 1)
    return [int(index * (SIDE - overlap)) for index in range(count)]


def _tile(planes: Tensor, place: Tensor, top: int, left: int) -> Tile:
    inside = (slice(None), slice(top, top + SIDE), slice(left, left + SIDE))
    shown = torch.zeros_like(place)
    shown[inside] = place[inside]
    return Tile(planes.movedim(1, -1)[inside], shown, shown)
