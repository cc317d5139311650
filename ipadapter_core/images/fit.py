"""How an image becomes the square that an image encoder looks at."""

from enum import Enum

from torch import Tensor
from torch.nn.functional import interpolate

from ..limits import CROPPED_ASPECT


class ResizeMode(str, Enum):
    """Which part of an image that is not square is kept; as trained is one of the others, by the adapter."""

    TRAINED = "as trained"
    CENTER = "center"
    TOP = "top"
    BOTTOM = "bottom"
    LEFT = "left"
    RIGHT = "right"
    PAD = "pad"
    STRETCH = "stretch"


def fit_square(picture: Tensor, size: int, fit: ResizeMode, background: Tensor) -> Tensor:
    """An image (B, C, H, W) as (B, C, size, size), bicubic with antialiasing, clipped to 0..1.

    Cropping keeps the shorter side whole; `pad` keeps everything on `background` (C); `stretch` ignores the aspect.
    """
    if fit is ResizeMode.STRETCH or picture.shape[-2] == picture.shape[-1]:
        return stretch(picture, (size, size))
    if fit is not ResizeMode.PAD:
        picture = within_aspect(picture, fit, CROPPED_ASPECT)
    height, width = picture.shape[-2:]
    side = max(height, width) if fit is ResizeMode.PAD else min(height, width)
    resized = stretch(picture, (round(height * size / side), round(width * size / side)))
    if fit is not ResizeMode.PAD:
        top, left = _corner(fit, resized.shape[-2] - size, resized.shape[-1] - size)
        return resized[..., top : top + size, left : left + size]
    canvas = background.to(picture).view(1, -1, 1, 1).expand(picture.shape[0], -1, size, size).clone()
    rows, columns = resized.shape[-2:]
    top, left = (size - rows) // 2, (size - columns) // 2
    canvas[..., top : top + rows, left : left + columns] = resized
    return canvas


def stretch(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """An image (B, C, H, W) as (B, C, *size), whatever its aspect."""
    if tuple(picture.shape[-2:]) == size:
        return picture
    return interpolate(picture, size=(max(size[0], 1), max(size[1], 1)), mode="bicubic", antialias=True).clamp(0, 1)


def within_aspect(picture: Tensor, fit: ResizeMode, longest: int) -> Tensor:
    """The part of an image (B, C, H, W) that is at most `longest` times as long as its shorter side, where `fit` looks.

    What is cropped away would be resized for nothing; the scale of what stays is the same.
    """
    height, width = picture.shape[-2:]
    most = longest * min(height, width)
    rows, columns = min(height, most), min(width, most)
    top, left = _corner(fit, height - rows, width - columns)
    return picture[..., top : top + rows, left : left + columns]


def _corner(fit: ResizeMode, spare_rows: int, spare_columns: int) -> tuple[int, int]:
    rows = {ResizeMode.TOP: 0, ResizeMode.BOTTOM: spare_rows}.get(fit, spare_rows // 2)
    columns = {ResizeMode.LEFT: 0, ResizeMode.RIGHT: spare_columns}.get(fit, spare_columns // 2)
    return rows, columns
