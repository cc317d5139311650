"""The textures of the demo world: a colour and a second shade of it, mixed by a pattern."""

import torch
from torch import Tensor

TEXTURE_NAMES: tuple[str, ...] = ("plain", "striped", "dotted", "checked", "gradient")
PERIODS = 4.5  # across the image


def second_shade(colour: Tensor) -> Tensor:
    """The shade that a texture adds: darker for light colours, lighter for dark ones. (B, 3) -> (B, 3)."""
    light = (colour @ colour.new_tensor([0.3, 0.59, 0.11]))[:, None] > 0.5
    return torch.where(light, colour * 0.45, colour + (1 - colour) * 0.55)


def pattern(kind: int, x: Tensor, y: Tensor, phase: Tensor, sharpness: float) -> Tensor:
    """How much of the second shade a pixel shows, 0..1; x and y run over -1..1 and are turned already."""
    u = x * (PERIODS / 2) + phase[:, 0, None, None]
    v = y * (PERIODS / 2) + phase[:, 1, None, None]
    if kind == 1:
        return (0.5 + sharpness * torch.cos(2 * torch.pi * u)).clamp(0, 1)
    if kind == 2:
        u, v = u.remainder(1) - 0.5, v.remainder(1) - 0.5
        return (0.5 + 5 * sharpness * (0.33 - torch.hypot(u, v))).clamp(0, 1)
    if kind == 3:
        return (0.5 + 1.4 * sharpness * torch.cos(torch.pi * u) * torch.cos(torch.pi * v)).clamp(0, 1)
    return (0.5 + 0.42 * (x + y * 0)).clamp(0, 1) if kind == 4 else torch.zeros_like(u)


def texture(colour: Tensor, kind: Tensor, angle: Tensor, phase: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Surfaces: colour (B, 3), kind, angle (B), phase (B, 2), coordinates (1, H, W) -> (B, 3, H, W)."""
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turned_x, turned_y = cosine * x + sine * y, cosine * y - sine * x
    sharpness = x.shape[-1] / 32
    amount = torch.zeros_like(turned_x)
    for index in range(1, len(TEXTURE_NAMES)):
        rows = (kind == index).nonzero()[:, 0]
        if len(rows):
            amount[rows] = pattern(index, turned_x[rows], turned_y[rows], phase[rows], sharpness)
    first, second = colour[:, :, None, None], second_shade(colour)[:, :, None, None]
    return first + (second - first) * amount[:, None]
