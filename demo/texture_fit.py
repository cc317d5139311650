"""Finding the texture inside and outside an image's shape: every texture is tried at every turn and place."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from .fitting import Fit, fit_shape
from .textures import TEXTURE_NAMES, pattern
from .world import SIZE, grid

ANGLES = tuple(turn * torch.pi / 4 for turn in range(4))
PHASES = tuple(step / 6 for step in range(6))
PLAIN, STRIPED = TEXTURE_NAMES.index("plain"), TEXTURE_NAMES.index("striped")
EDGE = 0.02  # of a mask: pixels that the other side touches are left out
FLAT = 0.035  # the standard deviation of a colour, 0 to 1, below which a surface is plain
LIKE = 0.6  # the correlation above which a texture is taken for found


class Surface(NamedTuple):
    """The texture of each image's surface, and where its stripes, if any, run: (B) indices into TEXTURE_NAMES, ANGLES."""

    kind: Tensor
    angle: Tensor


class Surfaces(NamedTuple):
    """Inside and outside the shape."""

    inside: Surface
    outside: Surface


def fit_textures(pictures: Tensor, fit: Fit | None = None) -> Surfaces:
    """The textures in images (B, SIZE, SIZE, 3)."""
    mask = (fit or fit_shape(pictures)).mask.flatten(1)
    sides = ((mask > 1 - EDGE), (mask < EDGE))
    return Surfaces(*(_surface(pictures[..., :3].flatten(1, 2), side.to(pictures)) for side in sides))


@lru_cache(maxsize=1)
def _templates() -> tuple[Tensor, Tensor, Tensor]:
    """Every texture but the plain one: kinds (K), angles (K), and what share of the second shade a pixel has (K, P)."""
    x, y = grid(SIZE)
    kinds, angles, amounts = [], [], []
    for kind in range(1, len(TEXTURE_NAMES)):
        for number, angle in enumerate(torch.tensor(ANGLES)):
            phases = torch.cartesian_prod(torch.tensor(PHASES), torch.tensor(PHASES if kind != STRIPED else (0.0,)))
            turned = (angle.cos() * x + angle.sin() * y, angle.cos() * y - angle.sin() * x)
            amounts.append(pattern(kind, *(one.expand(len(phases), -1, -1) for one in turned), phases, SIZE / 32))
            kinds += [kind] * len(phases)
            angles += [number] * len(phases)
    return torch.tensor(kinds), torch.tensor(angles), torch.cat(amounts).flatten(1)


def _surface(pixels: Tensor, inside: Tensor) -> Surface:
    """Pixels (B, P, 3) where `inside` (B, P) is 1, along the colour in which they differ most."""
    kinds, angles, amounts = _templates()
    count = inside.sum(dim=1, keepdim=True).clamp(min=1)
    centred = (pixels - (pixels * inside[..., None]).sum(dim=1, keepdim=True) / count[..., None]) * inside[..., None]
    values, vectors = torch.linalg.eigh(centred.transpose(1, 2) @ centred / count[..., None])
    line = (centred @ vectors[:, :, -1:]).squeeze(-1)  # (B, P)
    means = inside @ amounts.T / count
    spread = (inside @ amounts.square().T / count - means.square()).clamp(min=1e-6).sqrt()
    likeness = (line @ amounts.T / count).abs() / (spread * values[:, -1:].clamp(min=1e-9).sqrt())
    best = likeness.argmax(dim=1)
    plain = (values[:, -1].clamp(min=0).sqrt() < FLAT) | (likeness.amax(dim=1) < LIKE)
    return Surface(torch.where(plain, PLAIN, kinds[best]), angles[best])
