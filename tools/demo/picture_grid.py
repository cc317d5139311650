"""The demo's images: fetched, laid out in a grid, and measured."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...demo.measure import outline_followed, palette_distance, shape_kept
from ..comfyui.client import ComfyClient

TILE, MARGIN, LABEL = 256, 8, 26


class Pictures(NamedTuple):
    """PNG files by label."""

    found: dict[str, bytes]

    @property
    def weight_zero_identical(self) -> bool:
        """Whether weight 0 gives the very pixels of the workflow without our node."""
        return bool((pixels(self.found["weight 0.0"]) == pixels(self.found["without"])).all())


def pixels(data: bytes) -> np.ndarray:
    """A PNG file's pixels, (H, W, 3), 8 bits."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def tensor(data: bytes) -> Tensor:
    """A PNG file as an image (1, H, W, 3) in 0..1."""
    return torch.from_numpy(pixels(data).astype(np.float32) / 255).unsqueeze(0)


def reference_tensor(file: Path) -> Tensor:
    """An image from disk (1, H, W, 3) in 0..1."""
    return tensor(file.read_bytes())


def fetch(client: ComfyClient, outputs: dict) -> dict[str, Tensor]:
    """The previews of a measuring workflow by their node's name."""
    names = ("without", "with", "controlled", "outline", "reference")
    return {name: tensor(client.picture(outputs[name]["images"][0])) for name in names}


def measured(collected: list[tuple[dict[str, Tensor], str]]) -> dict:
    """The summary's numbers over all seeds; `demo/measure.py` says what each means."""
    ways = {
        name: torch.cat([pictures[name] for pictures, _ in collected]) for name in ("without", "with", "controlled")
    }
    references = torch.cat([_small(pictures["reference"]) for pictures, _ in collected])
    masks = torch.cat([pictures["outline"][..., 0] for pictures, _ in collected])
    kept = [bool(shape_kept(pictures["with"], shape)) for pictures, shape in collected]
    return {
        "seeds": len(collected),
        "palette_distance": {name: _mean(palette_distance(ways[name], references)) for name in ("without", "with")},
        "shape_kept": sum(kept) / len(kept),
        "outline_followed": {
            "without": _mean(outline_followed(ways["with"], masks)),
            "with": _mean(outline_followed(ways["controlled"], masks)),
        },
    }


def grid(found: dict[str, bytes]) -> Image.Image:
    """The images side by side, each with its label."""
    order = ["reference", "without", "weight 0.5", "weight 1.0", "with ControlNet"]
    labels = {"without": "no adapter"}
    shown = [label for label in order if label in found]
    sheet = Image.new("RGB", (len(shown) * (TILE + MARGIN) + MARGIN, TILE + LABEL + 2 * MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(shown):
        left = MARGIN + column * (TILE + MARGIN)
        picture = Image.fromarray(pixels(found[label])).resize((TILE, TILE), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left, MARGIN + LABEL))
        draw.text((left, MARGIN), labels.get(label, label), fill="black", font=ImageFont.load_default(16))
    return sheet


def _small(picture: Tensor, size: int = 64) -> Tensor:
    """A reference of any size as the measure's (1, 64, 64, 3): its centre square, as the encoder sees it."""
    side = min(picture.shape[1:3])
    top, left = (picture.shape[1] - side) // 2, (picture.shape[2] - side) // 2
    square = picture[:, top : top + side, left : left + side].movedim(-1, 1)
    scaled = torch.nn.functional.interpolate(square, (size, size), mode="bicubic", antialias=True)
    return scaled.clamp(0, 1).movedim(1, -1)


def _mean(values: Tensor) -> float:
    return round(float(values.mean()), 4)
