"""Images on their way in and out: decoded under limits and written anew, so that no byte or metadata passes through."""

import io
import math
import warnings
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from .refusal import Refused, short

MOST_BYTES = 32 * 2**20  # of a file: a 24-megapixel PNG has some 30 MB
MOST_PIXELS = 40_000_000  # of a reference, by its header, before it is decoded
LONGEST_SIDE = 2048  # of a reference as it is kept; no image encoder looks at more than 1,024
PREVIEW_BYTES, PREVIEW_SIDE = 150_000, 768  # base64 in an answer: some 200 kB
KINDS = ("PNG", "JPEG", "WEBP")
CELL = 256  # pixels of an image in a sheet


def reference(path: Path) -> bytes:
    """A reference as a PNG of its pixels alone. Raises `Refused` for what is no image or too large."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise Refused(f"{short(path.name)!r} has {size:,} bytes, at most {MOST_BYTES:,} are read")
    return rewritten(path.read_bytes(), path.name, LONGEST_SIDE)


def rewritten(data: bytes, name: str, longest: int | None = None) -> bytes:
    """A PNG of an image file's pixels, at most `longest` on a side; the same pixels are the same bytes."""
    if len(data) > MOST_BYTES:
        raise Refused(f"{short(name)!r} has {len(data):,} bytes, at most {MOST_BYTES:,} are read")
    image = decoded(data, name)
    if longest:
        image.thumbnail((longest, longest))
    return _written(image, "PNG")


def preview(png: bytes) -> bytes:
    """A JPEG within the byte budget of an answer."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    side = PREVIEW_SIDE
    while True:
        image.thumbnail((side, side))
        data = _written(image, "JPEG", quality=85)
        if len(data) <= PREVIEW_BYTES:
            return data
        side = side * 3 // 4


def sheet(images: list[tuple[str, bytes]]) -> bytes:
    """A contact sheet: each PNG in a cell with its label below."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    page = Image.new("RGB", (columns * CELL, rows * (CELL + 18)), "white")
    draw = ImageDraw.Draw(page)
    for index, (label, png) in enumerate(images):
        left, top = index % columns * CELL, index // columns * (CELL + 18)
        page.paste(ImageOps.pad(Image.open(io.BytesIO(png)).convert("RGB"), (CELL, CELL), color="white"), (left, top))
        draw.text((left + 4, top + CELL + 3), label[:40], fill="black")
    return _written(page, "PNG")


def decoded(data: bytes, name: str) -> Image.Image:
    """An image file's pixels as RGB. Raises `Refused` for what is no image or has too many."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=KINDS)
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width} x {image.height}"
                raise Refused(f"{short(name)!r} has {size} pixels, at most {MOST_PIXELS:,} are read: scale it down")
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Refused(f"{short(name)!r} is no PNG, JPEG or WebP image that can be read: {short(error)}") from error


def _written(image: Image.Image, kind: str, **how: int) -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(buffer, kind, **how)
    return buffer.getvalue()
