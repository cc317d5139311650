"""Pictures side by side under labels, and scores as curves over the weight."""

from collections.abc import Callable, Sequence

import numpy
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .errors import ComparisonError
from .scores import Row, balance
from .sweep import Sweep

PAPER, INK, FAINT = (28, 30, 34), (222, 224, 228), (78, 82, 90)
LINES = ((94, 170, 120), (214, 118, 92), (104, 148, 216), (206, 178, 84), (176, 120, 200), (110, 190, 196))
GAP, LABEL = 8, 22  # pixels between tiles, and of a line of text
PANEL, MARGIN = (320, 190), 36
PANELS: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
    ("similarity to the references", lambda row: row.reference),
    ("similarity to the prompt", lambda row: row.prompt),
    ("palette distance", lambda row: row.palette),
    ("sharpness", lambda row: row.sharpness),
)


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
            f"found {len(batches)} pictures or batches for {len(variants)} variants: connect the sweep of the very "
            "Sweep IP-Adapter whose models were sampled"
        )
    shown = [[_tile(picture, tile) for picture in batch[:pictures]] for batch in batches]
    heading = [_tile(picture, tile) for batch in references for picture in batch]
    deep = max(len(column) for column in shown)
    before = (tile + GAP) if heading else 0
    row_height = LABEL + deep * (tile + GAP)
    size = (before + len(sweep.weights) * (tile + GAP) + GAP, LABEL + len(sweep.presets) * row_height + GAP)
    image, draw = _paper(size)
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
    return _tensor(image)


def plot_scores(rows: Sequence[Row]) -> Tensor:
    """A panel for each score that there is, a curve for each preset, the balanced row marked; (1, H, W, 3)."""
    panels = [(name, read) for name, read in PANELS if all(read(row) is not None for row in rows)]
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    presets = list(dict.fromkeys(row.preset for row in rows))
    legend = LABEL if len(presets) > 1 else 0
    image, draw = _paper((across * PANEL[0], down * PANEL[1] + legend))
    best = balance(rows)
    for number, (name, read) in enumerate(panels):
        corner = (number % across * PANEL[0], number // across * PANEL[1])
        _panel(draw, corner, name, [(_place(row, rows), float(read(row) or 0), row) for row in rows], best)
    for number, preset in enumerate(presets if legend else ()):
        draw.text((MARGIN + number * 150, down * PANEL[1]), str(preset), fill=_colour(number), font=_font())
    return _tensor(image)


def _place(row: Row, rows: Sequence[Row]) -> float:
    """Where a row stands on the horizontal axis: its weight, or its number."""
    return float(rows.index(row) + 1) if row.weight is None else row.weight


def _panel(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    name: str,
    points: list[tuple[float, float, Row]],
    best: Row | None,
) -> None:
    low, high = min(value for _, value, _ in points), max(value for _, value, _ in points)
    low, high = (low, high) if high > low else (low - 1, high + 1)
    start, end = min(place for place, _, _ in points), max(place for place, _, _ in points)
    left, top = corner[0] + MARGIN, corner[1] + MARGIN
    width, height = PANEL[0] - MARGIN - 14, PANEL[1] - 2 * MARGIN

    def spot(place: float, value: float) -> tuple[float, float]:
        return left + width * (place - start) / max(end - start, 1e-9), top + height * (high - value) / (high - low)

    draw.text((left, corner[1] + 10), name, fill=INK, font=_font())
    draw.rectangle((left, top, left + width, top + height), outline=FAINT)
    for value in (low, high):
        draw.text((corner[0] + 2, spot(start, value)[1] - 6), _number(value), fill=INK, font=_font())
    for place in sorted({place for place, _, _ in points}):
        draw.text((spot(place, low)[0] - 6, top + height + 4), f"{place:g}", fill=INK, font=_font())
    for number, preset in enumerate(dict.fromkeys(row.preset for _, _, row in points)):
        line = sorted(spot(place, value) for place, value, row in points if row.preset == preset)
        draw.line(line, fill=_colour(number), width=2)
        for x, y in line:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_colour(number))
    for place, value, row in points:
        if row is best:
            x, y = spot(place, value)
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=INK)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _tile(picture: Tensor, tile: int) -> Image.Image:
    """A picture (H, W, C) inside a square of `tile` pixels."""
    pixels = (picture[..., :3].cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    image = Image.fromarray(pixels)
    scale = tile / max(image.size)
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), method)


def _paper(size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, PAPER)
    return image, ImageDraw.Draw(image)


def _write(draw: ImageDraw.ImageDraw, left: float, top: float, text: str) -> None:
    draw.text((left, top), text, fill=INK, font=_font())


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default()


def _colour(number: int) -> tuple[int, int, int]:
    return LINES[number % len(LINES)]


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(numpy.asarray(image).astype(numpy.float32) / 255).unsqueeze(0)
