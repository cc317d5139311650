"""Shows which faces were found and which were taken."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .selection import Chosen

TAKEN, LEFT = (60, 220, 90), (160, 160, 160)


def draw_faces(picture: Tensor, chosen: Chosen) -> Tensor:
    """A copy of an image (H, W, C) with a numbered box around each face: green where taken; (H, W, 3)."""
    array = (picture[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    image = Image.fromarray(np.ascontiguousarray(array))
    pen = ImageDraw.Draw(image)
    thickness = max(2, round(max(image.size) / 256))
    font = ImageFont.load_default(size=8 * thickness)
    for number, face in enumerate(chosen.faces):
        colour = TAKEN if number in chosen.taken else LEFT
        left, top, right, bottom = (float(edge) for edge in face.bbox)
        pen.rectangle((left, top, right, bottom), outline=colour, width=thickness)
        pen.text((left + 2 * thickness, top + thickness), str(number), fill=colour, font=font)
    return torch.as_tensor(np.array(image)).float() / 255
