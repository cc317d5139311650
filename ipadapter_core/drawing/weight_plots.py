"""Small images of weights, for the previews of nodes."""

from collections.abc import Sequence

import numpy
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import WeightError
from ..weights.layer_presets import BLOCKS, TRANSFORMER_BLOCKS, BlockRef
from ..weights.layer_weights import LayerWeight, LayerWeights, known_places
from ..weights.schedule import WeightSchedule

PAPER, INK, FAINT = (28, 30, 34), (222, 224, 228), (78, 82, 90)
BOTH, NEGATIVE = (94, 170, 120), (214, 118, 92)
WIDTH, HEIGHT, MARGIN = 512, 176, 30  # pixels
NARROW = 16  # pixels of a bar below which only every fifth has its number

Bars = list[tuple[BlockRef, LayerWeight]]


def plot_layer_weights(weights: LayerWeights) -> Tensor:
    """Bars for the blocks of each model that we know and that the weights fit, one below the other, (1, H, W, 3).

    The transformers come only where the weights fit no UNet. Raises the first `WeightError` where they fit none at all.
    """
    failed: list[WeightError] = []
    for structures in (BLOCKS, TRANSFORMER_BLOCKS):
        panels: list[Image.Image] = []
        for structure in structures:
            try:
                panels.append(_bars(structure, weights.by_place(known_places(structure))))
            except WeightError as error:
                failed.append(error)
        if panels:
            return _tensor(panels)
    raise failed[0]


def plot_schedule(schedule: WeightSchedule) -> Tensor:
    """The curve over the run, (1, H, W, 3)."""
    image, draw = _paper("weight over the run")
    places = [index / (WIDTH - 2 * MARGIN) for index in range(WIDTH - 2 * MARGIN + 1)]
    values = [schedule.at(place) for place in places]
    zero, unit = _scale(draw, values)
    line = [(MARGIN + index, zero - unit * value) for index, value in enumerate(values)]
    draw.line(line, fill=BOTH, width=2)
    for percent in (0.0, 0.25, 0.5, 0.75, 1.0):
        _label(draw, MARGIN + percent * (WIDTH - 2 * MARGIN), HEIGHT - 14, f"{percent:g}")
    return _tensor([image])


def plot_frames(weights: Sequence[float]) -> Tensor:
    """A bar for each frame, (1, H, W, 3)."""
    image, draw = _paper("weight of each frame")
    zero, unit = _scale(draw, weights)
    step = (WIDTH - 2 * MARGIN) / len(weights)
    for index, weight in enumerate(weights):
        left = MARGIN + step * index
        top, bottom = sorted((zero - unit * weight, zero))
        if weight != 0:
            draw.rectangle((left, top, left + max(step - 1, 0), bottom), fill=BOTH)
    for index in {0, len(weights) // 2, len(weights) - 1}:
        _label(draw, MARGIN + step * (index + 0.5), HEIGHT - 14, str(index))
    return _tensor([image])


def _bars(structure: str, bars: Bars) -> Image.Image:
    injected = any(weight.negative_sees_reference for _, weight in bars)
    image, draw = _paper(f"{structure}{': orange acts in the negative pass only' if injected else ''}")
    zero, unit = _scale(draw, [weight.negative for _, weight in bars])
    step = (WIDTH - 2 * MARGIN) / len(bars)
    inset = 2 if step >= NARROW else 1
    for place, weight in bars:
        left = MARGIN + step * place.index
        top, bottom = sorted((zero - unit * weight.negative, zero))
        if weight.negative != 0:
            colour = NEGATIVE if weight.negative_sees_reference else BOTH
            draw.rectangle((left + inset, top, left + step - inset, bottom), fill=colour)
        if step >= NARROW or place.number % 5 == 0:
            _label(draw, left + step / 2, HEIGHT - 26, "mid" if place.part == "middle" else str(place.number))
    for part in dict.fromkeys(place.part for place, _ in bars if place.part != "middle"):
        columns = [place.index for place, _ in bars if place.part == part]
        _label(draw, MARGIN + step * (sum(columns) / len(columns) + 0.5), HEIGHT - 14, part)
    return image


def _paper(title: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, 6), title, fill=INK, font=ImageFont.load_default())
    return image, draw


def _scale(draw: ImageDraw.ImageDraw, values: Sequence[float]) -> tuple[float, float]:
    """Draws lines at 0 and at the largest and smallest value; returns the height of 0 and the pixels of one unit."""
    highest, lowest = max(1.0, *values), min(0.0, *values)
    unit = (HEIGHT - 2 * MARGIN) / (highest - lowest)
    zero = MARGIN + unit * highest
    for value in {highest, 0.0, lowest}:
        height = zero - unit * value
        draw.line((MARGIN, height, WIDTH - MARGIN, height), fill=FAINT)
        draw.text((4, height - 6), f"{value:.3g}", fill=INK, font=ImageFont.load_default())
    return zero, unit


def _label(draw: ImageDraw.ImageDraw, centre: float, top: float, text: str) -> None:
    font = ImageFont.load_default()
    draw.text((centre - draw.textlength(text, font=font) / 2, top), text, fill=INK, font=font)


def _tensor(panels: list[Image.Image]) -> Tensor:
    """Images below one another as a batch of one, (1, H, W, 3) in 0..1."""
    pixels = numpy.concatenate([numpy.asarray(panel) for panel in panels])
    return torch.as_tensor(pixels.astype(numpy.float32) / 255).unsqueeze(0)
