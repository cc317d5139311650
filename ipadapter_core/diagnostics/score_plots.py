"""Scores over the weight, as plots."""

from collections.abc import Callable, Sequence

from PIL import ImageDraw
from torch import Tensor

from ..drawing.paper import FAINT, INK, font, image_tensor, paper
from .comparison_grid import LABEL
from .scores import Row, balance

LINES = ((94, 170, 120), (214, 118, 92), (104, 148, 216), (206, 178, 84), (176, 120, 200), (110, 190, 196))


PANEL, MARGIN = (320, 190), 36


PANELS: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
    ("similarity to the references", lambda row: row.reference),
    ("similarity to the prompt", lambda row: row.prompt),
    ("palette distance", lambda row: row.palette),
    ("sharpness", lambda row: row.sharpness),
)


def plot_scores(rows: Sequence[Row]) -> Tensor:
    """A panel for each score that there is, a curve for each preset, the balanced row marked; (1, H, W, 3)."""
    panels = [(name, read) for name, read in PANELS if all(read(row) is not None for row in rows)]
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    presets = list(dict.fromkeys(row.preset for row in rows))
    legend = LABEL if len(presets) > 1 else 0
    image, draw = paper((across * PANEL[0], down * PANEL[1] + legend))
    best = balance(rows)
    for number, (name, read) in enumerate(panels):
        corner = (number % across * PANEL[0], number // across * PANEL[1])
        _panel(draw, corner, name, [(_place(row, rows), float(read(row) or 0), row) for row in rows], best)
    for number, preset in enumerate(presets if legend else ()):
        draw.text((MARGIN + number * 150, down * PANEL[1]), str(preset), fill=_colour(number), font=font())
    return image_tensor(image)


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

    draw.text((left, corner[1] + 10), name, fill=INK, font=font())
    draw.rectangle((left, top, left + width, top + height), outline=FAINT)
    for value in (low, high):
        draw.text((corner[0] + 2, spot(start, value)[1] - 6), _number(value), fill=INK, font=font())
    for place in sorted({place for place, _, _ in points}):
        draw.text((spot(place, low)[0] - 6, top + height + 4), f"{place:g}", fill=INK, font=font())
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


def _colour(number: int) -> tuple[int, int, int]:
    return LINES[number % len(LINES)]
