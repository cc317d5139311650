"""Reference images to train the encoder and the adapter on: the world's own, and wilder ones that are more like photos."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .world import SIZE, Scene, render


def _soft_noise(count: int, channels: int, cells: int, size: int, generator: torch.Generator) -> Tensor:
    """Smooth random fields of about unit variance: (count, channels, size, size)."""
    coarse = torch.randn(count, channels, cells, cells, generator=generator)
    return functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False) * 1.3


def blobs(scene: Scene, generator: torch.Generator, size: int = SIZE) -> Tensor:
    """The scenes with a soft random patch in the middle instead of the shape: (B, 3, size, size)."""
    line = torch.linspace(-1, 1, size)
    radius = torch.hypot(line[None, :], line[:, None])
    field = _soft_noise(len(scene), 1, 5, size, generator) + 2.2 - 4 * radius
    softness = 0.5 + 4 * torch.rand(len(scene), 1, 1, 1, generator=generator)
    return render(scene, size, mask=torch.sigmoid(field * softness))


@dataclass(frozen=True)
class Wildness:
    """How often a reference is not the world's own clean image."""

    blob: float = 0.25
    rough: float = 0.3
    blurred: float = 0.2


def wild(scene: Scene, generator: torch.Generator, wildness: Wildness | None = None, size: int = SIZE) -> Tensor:
    """References in the scenes' styles, some with patches for shapes, uneven light, grain or blur: (B, 3, size, size)."""
    wildness = wildness or Wildness()
    count = len(scene)

    def chosen(chance: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator) < chance

    pictures = torch.where(chosen(wildness.blob), blobs(scene, generator, size), render(scene, size))
    light = 0.10 * _soft_noise(count, 1, 3, size, generator) + 0.05 * _soft_noise(count, 3, 8, size, generator)
    grain = 0.08 * torch.rand(count, 1, 1, 1, generator=generator) * torch.randn(pictures.shape, generator=generator)
    pictures = torch.where(chosen(wildness.rough), pictures + light + grain, pictures)
    soft = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.where(chosen(wildness.blurred), soft, pictures).clamp(0, 1)
