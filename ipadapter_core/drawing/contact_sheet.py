"""Several images as one, in rows of equal cells."""

import math
from collections.abc import Sequence

import numpy
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..limits import PNG_SIDE


def contact_sheet(images: Sequence[Tensor]) -> Tensor:
    """One image (H, W, 3) of 8 bits from one or more: a single one as it is, several in a square of cells.

    Neither side is longer than the limit; of a batch of more cells than there are pixels the first are shown.
    """
    columns = min(math.ceil(math.sqrt(len(images))), PNG_SIDE)
    width, height = _cell(images[0], columns)
    rows = math.ceil(min(len(images), columns**2) / columns)
    page = Image.new("RGB", (columns * width, rows * height), "white")
    for place, one in enumerate(images[: columns**2]):
        cell = Image.fromarray(one.cpu().numpy())
        if cell.size != (width, height):
            cell = ImageOps.pad(cell, (width, height), Image.Resampling.LANCZOS, color="white")
        page.paste(cell, (place % columns * width, place // columns * height))
    return torch.as_tensor(numpy.array(page))


def _cell(first: Tensor, columns: int) -> tuple[int, int]:
    """The size of a cell: the first image's, or what keeps the page within the limit."""
    height, width, _ = first.shape
    scale = min(1.0, PNG_SIDE / columns / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))
