"""What a training asks of the model: noise as ComfyUI's `model_sampling` adds it, and how far the prediction is off."""

from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import Tensor

EDGE = 5e-4  # of a run, at either end: there percent_to_sigma has sentinels and not noise levels


class Weighting(str, Enum):
    """What the error is measured in, and so which noise levels count most."""

    DENOISED = "denoised image, as Train LoRA"
    PREDICTION = "the model's own prediction"


class NoisyLatents(NamedTuple):
    """Latents on their way to noise, at what level each is, and the images that they come from, as the model has them."""

    noisy: Tensor  # (B, C, H, W)
    sigma: Tensor  # (B)
    clean: Tensor  # (B, C, H, W)


def add_noise(model: Any, latents: Tensor, generator: torch.Generator) -> NoisyLatents:
    """Latents (B, C, H, W) with noise at levels drawn evenly over the steps of a run, as ComfyUI's own trainer draws them."""
    sampling = model.model_sampling
    places = torch.rand(len(latents), generator=generator) * (1 - 2 * EDGE) + EDGE
    sigma = torch.tensor([float(sampling.percent_to_sigma(float(place))) for place in places])
    noise = torch.randn(latents.shape, generator=generator)
    sigma, noise = sigma.to(latents.device), noise.to(latents.device)
    noisy = sampling.noise_scaling(sigma, noise.clone(), latents, False)
    clean = sampling.noise_scaling(torch.zeros_like(sigma), torch.zeros_like(noise), latents, False)
    return NoisyLatents(noisy, sigma, clean)


def losses(model: Any, found: Tensor, wanted: Tensor, sigma: Tensor, weighting: Weighting) -> Tensor:
    """The mean squared error of each denoised latent (B, C, H, W) against the wanted one, (B).

    An error of the model's own prediction (noise, velocity or image, as its class has it) is one of the denoised latent
    over what `calculate_denoised` multiplies a prediction by.
    """
    error = found.float() - wanted.float()
    if weighting is Weighting.PREDICTION:
        error = error / _share_of_prediction(model.model_sampling, sigma, error)
    return error.square().flatten(1).mean(dim=1)


def _share_of_prediction(sampling: Any, sigma: Tensor, like: Tensor) -> Tensor:
    """What a denoised latent gains by one more of prediction, (B, 1, ...)."""
    shape = (len(sigma), *[1] * (like.ndim - 1))
    one, nothing = torch.ones(shape, device=like.device), torch.zeros(shape, device=like.device)
    return sampling.calculate_denoised(sigma, one, nothing) - sampling.calculate_denoised(sigma, nothing, nothing)
