"""The contact sheet: a band for each reference, its images beside it, each with its words, weight, seed and similarity."""

import io
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

Entry = dict[str, Any]
Open = Callable[[str], bytes]
CELL, CAPTION, GAP, COLUMNS = 128, 30, 4, 12
MOST_PIXELS = 60_000_000  # of a sheet; larger ones have smaller cells


def contact_sheet(bands: Sequence[tuple[bytes, Sequence[Entry]]], read: Open) -> bytes:
    """A JPEG of bands: a reference's PNG, and the entries of its images, whose files `read` opens."""
    rows = sum(_rows(entries) for _, entries in bands)
    across = 1 + min(COLUMNS, max(len(entries) for _, entries in bands))
    cell = CELL
    while across * cell * rows * (cell + CAPTION) > MOST_PIXELS and cell > 24:
        cell //= 2
    page = Image.new("RGB", (across * (cell + GAP) + GAP, rows * (cell + CAPTION) + GAP), "white")
    top = GAP
    for reference, entries in bands:
        _place(page, reference, "reference", (GAP, top), cell)
        for index, entry in enumerate(entries):
            place = (GAP + (index % COLUMNS + 1) * (cell + GAP), top + index // COLUMNS * (cell + CAPTION))
            _place(page, read(entry["file"]), _caption(entry), place, cell)
        top += _rows(entries) * (cell + CAPTION)
    page.save(buffer := io.BytesIO(), "JPEG", quality=88)
    return buffer.getvalue()


def thumbnail(data: bytes, side: int) -> Image.Image:
    """An image of at most `side` pixels a side."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _rows(entries: Sequence[Entry]) -> int:
    return max(1, -(-len(entries) // COLUMNS))


def _caption(entry: Entry) -> str:
    score = entry["scores"].get("similarity")
    numbers = f"w {entry['weight']:g}  s {entry['seed']}" + ("" if score is None else f"  {score:.2f}")
    return f"{entry['prompt'][:20]}\n{numbers[:24]}"


def _place(page: Image.Image, data: bytes, caption: str, place: tuple[int, int], cell: int) -> None:
    left, top = place
    page.paste(ImageOps.pad(thumbnail(data, cell), (cell, cell), Image.Resampling.NEAREST, color="white"), place)
    if cell == CELL:
        ImageDraw.Draw(page).text((left + 1, top + cell), caption, fill="black", font=ImageFont.load_default(11))
