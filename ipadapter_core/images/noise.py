"""Images made noisy with a seed, to be negatives: what the result should move away from."""

from collections.abc import Callable
from enum import Enum

import torch
from torch import Generator, Tensor
from torchvision.transforms.functional import elastic_transform, gaussian_blur

SIZE = 224  # of the image that the two lengths below belong to; in others they are longer or shorter with the side
REACH = 75.0  # twice as far as "shuffle" displaces at most
SMOOTHNESS = 3.5  # how far displacements go together at strength 0


class Noise(str, Enum):
    """Ways to make an image noisy, by the names that workflows of ComfyUI_IPAdapter_plus use."""

    FADE = "fade"
    DISSOLVE = "dissolve"
    GAUSSIAN = "gaussian"
    SHUFFLE = "shuffle"


def add_noise(pictures: Tensor, kind: Noise, strength: float, seed: int) -> Tensor:
    """Images (B, H, W, C) made noisy, clipped to 0..1; `strength` 0..1.

    With x the image, u uniform in 0..1 and n normal noise for every value of it:

        fade      (1 - s) x + s u
        dissolve  u' where u < s, x elsewhere
        gaussian  x + s n
        shuffle   y (1 - m) + m with m = 0.75 s n, and y the image turned half round after being warped: each pixel is
                  taken from up to a sixth of the side away, neighbours less alike the higher the strength

    The same seed makes the same noise on every device, for images that lie in memory in the same order. Source: the
    measured behaviour of ComfyUI_IPAdapter_plus (9d076a3), IPAdapterNoise; on 224 pixels it is the same, number for
    number, where the seed is the same.
    """
    generator = Generator().manual_seed(seed)
    return MAKERS[kind](pictures, strength, generator).clamp(0, 1)


def blurred(pictures: Tensor, size: int) -> Tensor:
    """Images (B, H, W, C) under a Gaussian blur of `size` pixels, made odd; 0 leaves them as they are.

    The blur is never wider than the image allows.
    """
    if size <= 0:
        return pictures
    most = min(pictures.shape[1:3])
    kernel = min(size | 1, 2 * most - 1)
    return gaussian_blur(pictures.movedim(-1, 1), [kernel, kernel]).movedim(1, -1)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.empty_like(like, device="cpu").uniform_(generator=generator).to(like)


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.empty_like(like, device="cpu").normal_(generator=generator).to(like)


def _fade(pictures: Tensor, strength: float, generator: Generator) -> Tensor:
    return pictures * (1 - strength) + _uniform(pictures, generator) * strength


def _dissolve(pictures: Tensor, strength: float, generator: Generator) -> Tensor:
    gone = _uniform(pictures, generator) < strength
    return torch.where(gone, _uniform(pictures, generator), pictures)


def _gaussian(pictures: Tensor, strength: float, generator: Generator) -> Tensor:
    return pictures + _normal(pictures, generator) * strength


def _shuffle(pictures: Tensor, strength: float, generator: Generator) -> Tensor:
    turned = warped(pictures, 1 - strength, generator)
    noise = _normal(turned, generator) * (0.75 * strength)
    return turned * (1 - noise) + noise


def warped(pictures: Tensor, smoothness: float, generator: Generator) -> Tensor:
    """Images (B, H, W, C) warped and turned half round; `smoothness` 0..1 is how far displacements go together."""
    planes = pictures.movedim(-1, 1)
    displacement = _displacement(planes.shape[-2:], smoothness, generator).to(planes)
    black = [0.0] * planes.shape[1]
    turned = elastic_transform(planes, displacement, fill=black).flip(-2, -1).movedim(1, -1)
    torch.rand(2, generator=generator)  # the source flips at random, with certainty: two numbers are drawn and not used
    return turned


def _displacement(size: torch.Size, smoothness: float, generator: Generator) -> Tensor:
    """Where each pixel is taken from, (1, H, W, 2) across and down, in halves of the image's side."""
    sigma = smoothness * SMOOTHNESS * min(size) / SIZE
    axes: list[Tensor] = []
    for _ in range(2):
        field = torch.rand((1, 1, *size), generator=generator) * 2 - 1
        if sigma > 0:
            kernel = int(8 * sigma + 1) | 1
            field = gaussian_blur(field, [kernel, kernel], [sigma, sigma])
        axes.append(field * REACH / SIZE)
    return torch.cat(axes, dim=1).permute(0, 2, 3, 1)


MAKERS: dict[Noise, Callable[[Tensor, float, Generator], Tensor]] = {
    Noise.FADE: _fade,
    Noise.DISSOLVE: _dissolve,
    Noise.GAUSSIAN: _gaussian,
    Noise.SHUFFLE: _shuffle,
}
