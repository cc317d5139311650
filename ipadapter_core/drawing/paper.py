"""The canvas, the font and the colours that all plots share."""

import numpy
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

PAPER, INK, FAINT = (28, 30, 34), (222, 224, 228), (78, 82, 90)


def paper(size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, PAPER)
    return image, ImageDraw.Draw(image)


def font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default()


def image_tensor(image: Image.Image) -> Tensor:
    return torch.as_tensor(numpy.asarray(image).astype(numpy.float32) / 255).unsqueeze(0)
