"""Images side by side under labels, and scores as curves over the weight."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..drawing.paper import INK, font, image_tensor, paper
from ..errors import ComparisonError
from .sweep import Sweep

GAP, LABEL = 8, 22  # pixels between tiles, and of a line of text


def comparison_grid(
    batches: Sequence[Tensor], sweep: Sweep, tile: int, references: Sequence[Tensor] = (), pictures: int = 1
) -> Tensor:
    """A column for each weight and a row for each preset, (1, H, W, 3); references stand in a column of their own before.

    Of each batch (B, H, W, C) the first `pictures` are shown, below one another. Raises `ComparisonError` where the counts
    of batches and variants differ.
    """
    variants = sweep.variants
    if len(batches) != len(variants):
        raise ComparisonError(
            f"found {len(batches)} images or batches for {len(variants)} variants: connect the sweep of the very "
            "Sweep IP-Adapter whose models were sampled"
        )
    shown = [[_tile(picture, tile) for picture in batch[:pictures]] for batch in batches]
    heading = [_tile(picture, tile) for batch in references for picture in batch]
    deep = max(len(column) for column in shown)
    before = (tile + GAP) if heading else 0
    row_height = LABEL + deep * (tile + GAP)
    size = (before + len(sweep.weights) * (tile + GAP) + GAP, LABEL + len(sweep.presets) * row_height + GAP)
    image, draw = paper(size)
    for number, column in enumerate(shown):
        row, place = divmod(number, len(sweep.weights))
        left, top = before + GAP + place * (tile + GAP), LABEL + row * row_height
        if row == 0:
            _write(draw, left, GAP // 2, f"weight {sweep.weights[place]:g}")
        if place == 0:
            _write(draw, left, top + 2, sweep.presets[row].value)
        for step, picture in enumerate(column):
            image.paste(picture, (left, top + LABEL + step * (tile + GAP)))
    for step, picture in enumerate(heading[: len(sweep.presets) * deep]):
        if step == 0:
            _write(draw, GAP, LABEL + 2, "reference" if len(heading) == 1 else "references")
        image.paste(picture, (GAP, 2 * LABEL + step * (tile + GAP)))
    return image_tensor(image)


def _tile(picture: Tensor, tile: int) -> Image.Image:
    """An image (H, W, C) inside a square of `tile` pixels."""
    pixels = (picture[..., :3].cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    image = Image.fromarray(pixels)
    scale = tile / max(image.size)
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), method)


def _write(draw: ImageDraw.ImageDraw, left: float, top: float, text: str) -> None:
    draw.text((left, top), text, fill=INK, font=font())
