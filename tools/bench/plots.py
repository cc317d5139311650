"""The figures as PNG, drawn with Pillow alone: bars for a step's added time, lines for how it grows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

Row = dict[str, Any]
PAPER, INK, FAINT = (255, 255, 255), (40, 42, 46), (214, 216, 220)
COLOURS = {"floor": (150, 156, 164), "ours": (46, 125, 90), "peer": (214, 118, 92)}
WIDTH, LEFT, RIGHT, LINE, BAR = 1000, 250, 90, 18, 11  # pixels


def label(row: Row) -> str:
    """What a row varies, in a few words."""
    parts = [f"{row['tokens']} tokens"]
    parts += [f"{row['adapters']} adapters"] if row["adapters"] > 1 else []
    parts += [name for name in ("mask", "schedule") if row[name]]
    parts += [f"{row['pictures']} {'frames' if row['frames'] else 'images'}"] if row["pictures"] > 1 else []
    return ", ".join(parts)


def bars(rows: Sequence[Row], title: str, names: dict[str, str]) -> Image.Image:
    """A group of bars for each row: added milliseconds a step of each side that was measured."""
    sides = [side for side in COLOURS if any(row.get(f"{side}_ms") for row in rows)]
    group = BAR * len(sides) + 9
    image, draw, font = _paper(50 + LINE + group * len(rows) + 10, title)
    _legend(draw, font, {names[side]: COLOURS[side] for side in sides})
    scale = (WIDTH - LEFT - RIGHT) / max(row[f"{side}_ms"] or 0 for row in rows for side in sides)
    top = 50 + LINE
    for row in rows:
        draw.text((LEFT - 8, top + group / 2 - 4), label(row), fill=INK, font=font, anchor="rm")
        for number, side in enumerate(sides):
            value = row.get(f"{side}_ms")
            if value:
                place = top + BAR * number
                draw.rectangle((LEFT, place, LEFT + scale * value, place + BAR - 2), fill=COLOURS[side])
                draw.text((LEFT + scale * value + 5, place + 4), f"{value:.3g} ms", fill=INK, font=font, anchor="lm")
        top += group
    return image


def growth(lines: dict[str, list[tuple[float, float]]], title: str, unit: str) -> Image.Image:
    """Lines through points, relative to the first point of each."""
    image, draw, font = _paper(360, title)
    tones = [(46, 125, 90), (80, 110, 170), (214, 118, 92), (130, 90, 150), (150, 156, 164)]
    _legend(draw, font, dict(zip(lines, tones, strict=False)))
    points = [point for line in lines.values() for point in line]
    across, up = max(x for x, _ in points), max(y for _, y in points)
    bottom, height, left, width = 320, 240, 70, WIDTH - 140

    def place(x: float, y: float) -> tuple[float, float]:
        return left + width * x / across, bottom - height * y / up

    for mark in range(5):
        value = up * mark / 4
        draw.line((*place(0, value), *place(across, value)), fill=FAINT)
        draw.text((left - 6, place(0, value)[1]), f"{value:.3g}", fill=INK, font=font, anchor="rm")
    for line, tone in zip(lines.values(), tones, strict=False):
        draw.line([place(*point) for point in line], fill=tone, width=3)
        for x, y in line:
            at = place(x, y)
            draw.ellipse((at[0] - 4, at[1] - 4, at[0] + 4, at[1] + 4), fill=tone)
            draw.text((at[0], bottom + 8), f"{x:.3g}", fill=INK, font=font, anchor="mt")
    draw.text((WIDTH - 8, bottom + 26), unit, fill=INK, font=font, anchor="rm")
    return image


def save(image: Image.Image, path: Path) -> Path:
    """Few colours, so a palette keeps the file small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(64).save(path, optimize=True)
    return path


def _paper(height: int, title: str):
    image = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((14, 10), title, fill=INK, font=ImageFont.load_default(17))
    return image, draw, ImageFont.load_default(12)


def _legend(draw: ImageDraw.ImageDraw, font, entries: dict[str, tuple[int, int, int]]) -> None:
    left = 16.0
    for name, colour in entries.items():
        draw.rectangle((left, 40, left + 11, 51), fill=colour)
        draw.text((left + 16, 46), name, fill=INK, font=font, anchor="lm")
        left += 40 + draw.textlength(name, font=font)
