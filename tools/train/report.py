"""What a training did, as files: a table, curves over weights, the loss, and the images beside their references."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ...ipadapter_core.diagnostics.score_plots import plot_scores
from .dataset import Pair
from .measure import Measured

HEAD = "| adapter | weight | CLIP-I | palette distance | prompt | sharpness |\n| --- | --- | --- | --- | --- | --- |"
SHOWN = 4  # references on the sheet of images


def table(found: Sequence[Measured]) -> str:
    """The scores in Markdown, a line for each adapter and weight."""
    lines = [HEAD]
    for one in found:
        row = one.row
        said = "-" if row.prompt is None else f"{row.prompt:.3f}"
        lines.append(
            f"| {one.adapter} | {row.weight:g} | {row.reference or 0:.3f} | {row.palette or 0:.1f} | {said} "
            f"| {row.sharpness:.0f} |"
        )
    return "\n".join(lines)


def write_scores(found: Sequence[Measured], pairs: Sequence[Pair], facts: dict[str, Any], folder: Path) -> None:
    """Writes `report.md`, `report.json`, `scores.png` and `images.png`."""
    text = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    legend = (
        "CLIP-I is the similarity to the reference in the image encoder (more is nearer), the palette distance is in CIELAB "
        "units (less is nearer), prompt the similarity to the caption where text and image encoder were trained together."
    )
    (folder / "report.md").write_text(f"# What was learned\n\n{text}\n\n{table(found)}\n\n{legend}\n", encoding="utf-8")
    rows = [{"adapter": one.adapter} | vars(one.row) for one in found]
    (folder / "report.json").write_text(json.dumps({"facts": facts, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    adapters = list(dict.fromkeys(one.adapter for one in found[1:]))
    curves = [found[0].row.__class__(**{**vars(found[0].row), "preset": name}) for name in adapters]
    _save(plot_scores([*curves, *(one.row for one in found[1:])]), folder / "scores.png")
    _save(_sheet(found, pairs), folder / "images.png")


def _sheet(found: Sequence[Measured], pairs: Sequence[Pair]) -> Tensor:
    """A row for each of the first references: the reference, without adapter, and each adapter at its middle weight."""
    by_adapter: dict[str, list[Measured]] = {}
    for one in found:
        by_adapter.setdefault(one.adapter, []).append(one)
    shown = [min(several, key=lambda one: abs((one.row.weight or 0.0) - 1.0)) for several in by_adapter.values()]
    rows = [[pair.image[None], *(one.images[place] for one in shown)] for place, pair in enumerate(pairs[:SHOWN])]
    return torch.cat([_line(row) for row in rows], dim=1)


def _line(images: Sequence[Tensor]) -> Tensor:
    height = images[0].shape[1]
    return torch.cat([_scaled(image, height, images[0].shape[2]) for image in images], dim=2)


def _scaled(image: Tensor, height: int, width: int) -> Tensor:
    planes = torch.nn.functional.interpolate(image.movedim(-1, 1), (height, width), mode="bilinear", antialias=True)
    return planes.movedim(1, -1)


def _save(image: Tensor, file: Path) -> None:
    Image.fromarray((image[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()).save(file)
