"""A large or long image as square tiles, the mask of each over the result, and tiles of features put together again."""

from collections.abc import Sequence
from math import ceil, isqrt
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..errors import InputError
from ..limits import TILES

NEAR_SQUARE = 4 / 3  # a longer image has tiles as high, or as wide, as itself
SAMPLES = 512  # the most samples of a mask along a side: masks are exact between tile edges at any size


class Box(NamedTuple):
    """A square part of an image, in pixels."""

    top: int
    left: int
    side: int


def tile_counts(height: int, width: int, across: int = 0) -> tuple[int, int]:
    """How many rows and columns of tiles cover an image, `across` of them along its shorter side.

    With 0 that is two for an image that is nearly square, else one. The longer side has as many as keep tiles from
    overlapping much. Raises `InputError` where that would be too many.
    """
    short, long = min(height, width), max(height, width)
    across = across or (2 if long / short < NEAR_SQUARE else 1)
    along = max(round(across * long / short), ceil(long / short))
    if across * along > TILES:
        raise InputError(
            f"found an image of {width} x {height}, which makes {across * along} square tiles, expected at most {TILES}: crop "
            "it to a less extreme aspect, or lower tiles of Encode Tiled Reference"
        )
    return (across, along) if width >= height else (along, across)


def tile_boxes(height: int, width: int, rows: int, columns: int) -> tuple[Box, ...]:
    """Evenly spaced squares in reading order, as small as covers the whole image; they overlap where they must."""
    side = min(max(ceil(height / rows), ceil(width / columns)), height, width)
    return tuple(Box(top, left, side) for top in _starts(height, side, rows) for left in _starts(width, side, columns))


def cut(pictures: Tensor, boxes: Sequence[Box]) -> list[Tensor]:
    """The part (B, S, S, C) of images (B, H, W, C) in each box, or (B, S, S) of masks (B, H, W)."""
    return [pictures[:, box.top : box.top + box.side, box.left : box.left + box.side] for box in boxes]


def tile_masks(boxes: Sequence[Box], height: int, width: int) -> Tensor:
    """The place of each tile (T, H', W') in an image of a size; everywhere they add up to one.

    Where tiles overlap, one fades into the next in a straight line. The image's longer side has `SAMPLES` samples at most.
    """
    scale = min(1.0, SAMPLES / max(height, width))
    masks: list[Tensor] = []
    for box in boxes:
        down = _fade([one.top for one in boxes], box.top, box.side, height, round(height * scale))
        across = _fade([one.left for one in boxes], box.left, box.side, width, round(width * scale))
        masks.append(torch.outer(down, across))
    return torch.stack(masks).float()


def split_grid(pictures: Tensor, count: int) -> Tensor:
    """Images (B, H, W, C) whose sides `count` divides, as (B * count * count, H / count, W / count, C) in reading order."""
    return rearrange(pictures, "b (r h) (c w) d -> (b r c) h w d", r=count, c=count)


def pool_grid(features: Tensor, count: int) -> Tensor:
    """What an encoder made of `split_grid`'s tiles, (B * count * count, L, E) or (.., E), as of one image each: (B, ...).

    Patches are laid out as in the image and averaged over count by count neighbours, so that there are as many as
    before. A class token, which has no place in the image, and features that are one vector become the mean over tiles.
    """
    if features.ndim == 2:
        return torch.unflatten(features, 0, (-1, count * count)).mean(dim=1)
    side = isqrt(features.shape[1])
    alone = features.shape[1] - side * side  # class tokens
    means = torch.unflatten(features[:, :alone], 0, (-1, count * count)).mean(dim=1)
    grid = rearrange(features[:, alone:], "(b r c) (h w) e -> b e (r h) (c w)", r=count, c=count, h=side)
    patches = adaptive_avg_pool2d(grid, side).flatten(2).transpose(1, 2)
    return torch.cat((means, patches), dim=1)


def _starts(length: int, side: int, count: int) -> list[int]:
    return [index * (length - side) // max(count - 1, 1) for index in range(count)]


def _fade(starts: list[int], start: int, side: int, length: int, samples: int) -> Tensor:
    """One tile's weight (samples,) along an axis: how far inside it a place is, beside how far inside the others.

    The first and the last tile have no edge at the end of the image.
    """
    places = (torch.arange(samples, dtype=torch.float64) + 0.5) * length / samples

    def inside(one: int) -> Tensor:
        left = places - one if one > 0 else torch.full_like(places, length)
        right = one + side - places if one + side < length else torch.full_like(places, length)
        return torch.minimum(left, right).clamp(min=0)

    return inside(start) / torch.stack([inside(one) for one in sorted(set(starts))]).sum(dim=0)
