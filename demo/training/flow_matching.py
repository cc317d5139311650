"""Flow matching, as ComfyUI's FLOW models sample it: the model predicts noise minus image."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NoisyBatch:
    """Images on their way to noise, how far each has come, and what the model should say about it."""

    noisy: Tensor  # (B, C, H, W)
    sigma: Tensor  # (B) in 0..1
    target: Tensor  # (B, C, H, W)


def add_noise(pictures: Tensor, generator: torch.Generator, mean: float = 0.0, spread: float = 1.0) -> NoisyBatch:
    """Mixes images (B, C, H, W) in -1..1 with noise at logit-normal times (Esser et al. 2024, section 3.1)."""
    normal = torch.randn(len(pictures), generator=generator)
    sigma = torch.sigmoid(mean + spread * normal)
    noise = torch.randn(pictures.shape, generator=generator)
    weight = sigma[:, None, None, None]
    return NoisyBatch(pictures * (1 - weight) + noise * weight, sigma, noise - pictures)
