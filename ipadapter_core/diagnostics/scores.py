"""Numbers about finished images: how near their colours are to a reference's, how sharp they are, and what that tells."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import kornia.color
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample

SIDE = 24  # a palette is the colours at the centres of so many rows and columns
LUMA = (0.299, 0.587, 0.114)  # Rec. 601


@dataclass(frozen=True)
class Row:
    """The means over the images of one variant; None where it was not asked for.

    `references` are the similarities to each reference, -1 to 1, and `prompt` that to the text (or another scorer's number);
    `palette` is in CIELAB units to the nearest of the references, `sharpness` the variance of the Laplacian.
    """

    label: str
    pictures: int
    references: tuple[float, ...] = ()
    prompt: float | None = None
    palette: float | None = None
    sharpness: float = 0.0
    weight: float | None = None
    preset: str | None = None

    @property
    def reference(self) -> float | None:
        """The similarity to the references, their mean."""
        return fmean(self.references) if self.references else None


def palettes(pictures: Tensor) -> Tensor:
    """The colours of images (B, H, W, 3) at an even grid of places, in CIELAB: (B, SIDE * SIDE, 3)."""
    line = (torch.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack((columns, rows), dim=-1).expand(len(pictures), -1, -1, -1)
    planes = pictures[..., :3].movedim(-1, 1).float().cpu().clamp(0, 1)
    colours = grid_sample(planes, places, mode="nearest", align_corners=False)
    return kornia.color.rgb_to_lab(colours).flatten(2).mT


def palette_distance(one: Tensor, other: Tensor) -> float:
    """The mean distance between the colours (N, 3) of two palettes, matched so that it is least (earth mover's distance)."""
    cost = torch.cdist(one.double(), other.double()).numpy()
    return float(cost[linear_sum_assignment(cost)].mean())


def sharpness(pictures: Tensor) -> Tensor:
    """The variance of the Laplacian of the luma in 0..255, (B), as OpenCV has it: images (B, H, W, 3).

    Source: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy".
    """
    luma = 255 * (pictures[..., :3].float().cpu() @ torch.tensor(LUMA)).unsqueeze(1)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).view(1, 1, 3, 3)
    padded = torch.nn.functional.pad(luma, (1, 1, 1, 1), mode="reflect")
    return conv2d(padded, kernel).flatten(1).var(dim=1, unbiased=False)


def balance(rows: Sequence[Row]) -> Row | None:
    """The row at which both the references and the prompt have most: the larger of the two smaller ones.

    Both scores are stretched to 0..1 over the rows. None where one of them is missing or does not change at all.
    """
    references = [row.reference for row in rows if row.reference is not None]
    prompts = [row.prompt for row in rows if row.prompt is not None]
    if not len(references) == len(prompts) == len(rows):
        return None
    scales = [_scaled(values) for values in (references, prompts)]
    if not all(scales):
        return None
    lesser = [min(pair) for pair in zip(*scales, strict=True)]
    return rows[lesser.index(max(lesser))]


def _scaled(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) for value in values] if high > low else []


def as_json(rows: Sequence[Row]) -> str:
    """The rows and the balanced one, for programs."""
    best = balance(rows)
    return json.dumps({"rows": [asdict(row) for row in rows], "balanced": None if best is None else best.label})


def table(rows: Sequence[Row]) -> str:
    """The rows in text, columns under one another."""
    references = max(len(row.references) for row in rows)
    head = ["", *(f"ref {number + 1}" for number in range(references)), "prompt", "palette", "sharpness"]
    lines = [head]
    for row in rows:
        numbers = [f"{value:.3f}" for value in row.references] + [_written(row.prompt, 3), _written(row.palette, 1)]
        lines.append([row.label, *numbers, _written(row.sharpness, 0)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)) for line in lines]
    best = balance(rows)
    return "\n".join(text if best is None else [*text, f"balanced: {best.label}"])


def _written(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
