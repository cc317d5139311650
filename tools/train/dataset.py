"""A folder of images with captions, cut to sizes that the model takes, some of them held out to be measured on."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ...demo.pictures import draw
from ...demo.shapes import SHAPE_NAMES
from ...demo.training.brand import BRAND

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
UNIT = 64  # pixels of a side are a multiple of it, for large images
MOST_PIXELS = 100_000_000
DEMO_IMAGES, HELD_OUT = 28, 8


@dataclass(frozen=True, eq=False)
class Pair:
    """An image (H, W, 3) in 0..1, and what it shows."""

    name: str
    image: Tensor
    caption: str


@dataclass(frozen=True, eq=False)
class Data:
    """What is trained on, and what it is measured on; `held_out` is empty where there are too few to spare any."""

    training: Sequence[Pair]
    held_out: Sequence[Pair]

    @property
    def measured(self) -> Sequence[Pair]:
        """What is measured on: images that were held out, or else the first that were not."""
        return self.held_out or self.training[:HELD_OUT]


def read(given: argparse.Namespace) -> Data:
    """The images that the command line names. Raises `ValueError` for one that cannot be read or has no caption."""
    folder = given.images or _drawn(given.out / "images")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    if not files:
        raise ValueError(f"{folder}: found no images, expected some that end in {', '.join(ENDINGS)}")
    without = [file.name for file in files if given.caption is None and not file.with_suffix(".txt").is_file()]
    if without:
        raise ValueError(
            f"{len(without)} of {len(files)} images have no caption, such as {without[0]}: put a text file of that name "
            "beside each, or give one for all with --caption"
        )
    pairs = [Pair(file.name, _image(file, given.size), _caption(file, given.caption)) for file in files]
    count = given.held_out if given.held_out is not None else min(HELD_OUT, len(pairs) // 10)
    if not 0 <= count < len(pairs):
        raise ValueError(f"--held-out {count}: expected fewer than the {len(pairs)} images that there are")
    order = [int(place) for place in torch.randperm(len(pairs), generator=torch.Generator().manual_seed(given.seed))]
    chosen = set(order[:count])
    split = ([pair for place, pair in enumerate(pairs) if (place in chosen) is out] for out in (False, True))
    return Data(*split)


def _caption(file: Path, otherwise: str | None) -> str:
    beside = file.with_suffix(".txt")
    return beside.read_text(encoding="utf-8").strip() if beside.is_file() else str(otherwise)


def _image(file: Path, side: int) -> Tensor:
    """An image in its own shape, of about side x side pixels, its sides multiples of what the model takes."""
    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ValueError(
                    f"{file}: found {opened.width} x {opened.height} pixels, expected {MOST_PIXELS} at most"
                )
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(
            f"{file}: cannot be read as an image ({error}): mend it or take it out of the folder"
        ) from error
    shape = (image.width / image.height) ** 0.5
    unit = UNIT if side >= 4 * UNIT else 8
    width, height = (max(unit, round(side * one / unit) * unit) for one in (shape, 1 / shape))
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(fitted).astype(np.float32) / 255)


def _drawn(folder: Path) -> Path:
    """The demo's images: one brand on many shapes, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(DEMO_IMAGES):
        shape = SHAPE_NAMES[number % len(SHAPE_NAMES)]
        pixels = draw(BRAND._replace(shape=shape), 100 + number).picture[0]
        Image.fromarray((pixels * 255).round().to(torch.uint8).numpy()).save(folder / f"{number:02}_{shape}.png")
        (folder / f"{number:02}_{shape}.txt").write_text(f"a {shape}\n", encoding="utf-8")
    return folder
