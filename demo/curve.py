"""The loss curves as an image, one panel for each stage of training."""

import math
from pathlib import Path

from PIL import Image, ImageDraw

PANEL, MARGIN = (420, 240), 40
Losses = list[tuple[int, float]]


def _panel(draw: ImageDraw.ImageDraw, left: int, name: str, losses: Losses) -> None:
    width, height = PANEL
    steps, values = zip(*losses, strict=True)
    low, high = math.log(min(values)), math.log(max(values))
    box = (left + MARGIN, MARGIN, left + width - 10, height - MARGIN)

    def place(step: float, value: float) -> tuple[float, float]:
        right = (step - steps[0]) / max(1, steps[-1] - steps[0])
        up = (math.log(value) - low) / max(1e-9, high - low)
        return box[0] + right * (box[2] - box[0]), box[3] - up * (box[3] - box[1])

    draw.rectangle(box, outline=(190, 190, 190))
    draw.text((box[0], 12), f"{name}: loss (logarithmic) over steps", fill=(30, 30, 30))
    draw.text((left + 2, box[1] - 5), f"{max(values):.3f}", fill=(90, 90, 90))
    draw.text((left + 2, box[3] - 5), f"{min(values):.3f}", fill=(90, 90, 90))
    draw.text((box[2] - 30, box[3] + 6), str(steps[-1]), fill=(90, 90, 90))
    draw.line([place(step, value) for step, value in losses], fill=(20, 90, 200), width=2)


def draw_curves(stages: dict[str, Losses], file: Path) -> None:
    """Draws every stage's losses, (step, mean loss) pairs, into one PNG."""
    picture = Image.new("RGB", (PANEL[0] * len(stages), PANEL[1]), "white")
    draw = ImageDraw.Draw(picture)
    for index, (name, losses) in enumerate(stages.items()):
        if losses:
            _panel(draw, index * PANEL[0], name, losses)
    picture.save(file)
