"""How far a training is, in ComfyUI's own progress bar: steps, and the curve of its loss as the preview."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

import comfy.utils

from ..drawing.paper import FAINT, INK, font, paper
from .train import Moment

SIZE, EDGE = (320, 180), 14
PICTURES = 50  # of a curve in one training


@dataclass
class ShownProgress:
    """Told of each step."""

    steps: int
    losses: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        """ComfyUI's bar belongs to the node that runs."""
        self.bar = comfy.utils.ProgressBar(self.steps)

    def __call__(self, moment: Moment) -> None:
        """Moves the bar on; now and then with a new curve."""
        self.losses.append(moment.loss)
        drawn = moment.step % max(1, self.steps // PICTURES) == 0
        preview = ("JPEG", loss_picture(self.losses, moment.step), None) if drawn else None
        self.bar.update_absolute(moment.step, self.steps, preview)


def loss_picture(losses: Sequence[float], step: int) -> Image.Image:
    """The losses since the training was taken up, smoothed, with the last one as a number."""
    image, draw = paper(SIZE)
    smooth = _smoothed(losses)
    low, high = min(smooth), max(smooth)
    width, height = SIZE[0] - 2 * EDGE, SIZE[1] - 3 * EDGE
    across = width / max(1, len(smooth) - 1)
    up = height / (high - low) if high > low else 0.0
    points = [(EDGE + place * across, 2 * EDGE + (high - one) * up) for place, one in enumerate(smooth)]
    draw.line([(EDGE, 2 * EDGE + height), (EDGE + width, 2 * EDGE + height)], fill=FAINT)
    draw.line([*points, points[-1]], fill=INK, width=2)
    draw.text((EDGE, EDGE // 2), f"step {step}   loss {smooth[-1]:.4f}", fill=INK, font=font())
    return image


def _smoothed(losses: Sequence[float]) -> list[float]:
    """A running mean over a twentieth of them."""
    reach = max(1, len(losses) // 20)
    return [sum(part) / len(part) for end in range(1, len(losses) + 1) if (part := losses[max(0, end - reach) : end])]
