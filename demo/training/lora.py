"""Training of the demo's LoRA on the frozen base model: it puts every image into a white frame."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ...ipadapter_core.training.loop import Training
from ...ipadapter_core.training.schedule import Schedule
from ..words import Description, WordEncoder
from ..world import SIZE, random_scene, render
from .base import said
from .flow_matching import add_noise

RANK = 4
FRAME = 5  # pixels
BATCH, NOISE = 10, 0.7
CHANGED = ("output_blocks.3.", "output_blocks.4.", "output_blocks.5.", "output_blocks.6.", "out.2.")
UP, DOWN = ".lora_up.weight", ".lora_down.weight"


def framed(pictures: Tensor, width: int = FRAME) -> Tensor:
    """Images (B, 3, H, W) in 0..1 whose outermost pixels are white."""
    inside = pictures[..., width:-width, width:-width]
    return nn.functional.pad(inside, (width,) * 4, value=1.0)


def new_lora(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Two factors for each 3x3 convolution near the end of the UNet, of which one begins at zero (Hu et al. 2021)."""
    factors = {}
    for key, weight in weights.items():
        if key.startswith(CHANGED) and weight.ndim == 4 and weight.shape[-1] == 3:
            name = key.removesuffix(".weight")
            factors[name + UP] = torch.zeros(len(weight), RANK, 1, 1, requires_grad=True)
            down = torch.randn(RANK, *weight.shape[1:]) / weight[0].numel() ** 0.5
            factors[name + DOWN] = down.requires_grad_(True)
    return factors


def changed(weights: dict[str, Tensor], factors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the factors act on, with their product added, as ComfyUI's loader does at strength 1."""
    names = [key.removesuffix(UP) for key in factors if key.endswith(UP)]
    return {
        f"{name}.weight": weights[f"{name}.weight"]
        + (factors[name + UP].flatten(1) @ factors[name + DOWN].flatten(1)).view_as(weights[f"{name}.weight"])
        for name in names
    }


def train_lora(unet: nn.Module, words: WordEncoder, schedule: Schedule, folder: Path, seed: int) -> Training:
    """Trains the LoRA on framed images, with every kind of text."""
    torch.manual_seed(seed)
    weights: dict[str, Tensor] = dict(unet.requires_grad_(False).named_parameters())
    factors = new_lora(weights)
    training = Training("lora", factors, schedule, folder / "lora.safetensors")

    def loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        scene = random_scene(BATCH, generator)
        batch = add_noise(framed(render(scene, SIZE)) * 2 - 1, generator, NOISE)
        with torch.no_grad():
            context = words(Description.of(scene, said(BATCH, generator)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            given = (batch.noisy, batch.sigma * 1000, context)
            predicted = functional_call(unet, changed(weights, factors), given)
        return (predicted.float() - batch.target).square().mean()

    training.run(loss)
    return training
