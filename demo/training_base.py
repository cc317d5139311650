"""Training of the base model: pictures of the world from noise, led by the five tokens of the text."""

from pathlib import Path

import torch
from torch import Tensor

import comfy.ops

from ..ipadapter_core.training.flow import add_noise
from ..ipadapter_core.training.loop import Schedule, Training
from .base import initialise, initialise_unet, new_base_model
from .words import SLOTS, Description, WordEncoder
from .world import random_scene, render

SMALL = (32, 64)  # picture size and batch of the first part
LARGE = (64, 20)
SMALL_PART = 0.33


def said(count: int, generator: torch.Generator) -> Tensor:
    """Which slots the text fills: mostly some, one time in eight none, one in eight the shape alone. (B, 5) bool."""
    chance = torch.tensor([0.9, 0.75, 0.75, 0.6, 0.6])
    filled = torch.rand(count, SLOTS, generator=generator) < chance
    kind = torch.rand(count, 1, generator=generator)
    only_shape = torch.tensor([True, False, False, False, False])
    return torch.where(kind < 0.125, torch.zeros_like(filled), torch.where(kind < 0.25, only_shape, filled))


def train_base(schedule: Schedule, folder: Path, seed: int) -> Training:
    """Trains the UNet and the word encoder together from noise and returns the finished stage."""
    torch.manual_seed(seed)
    unet = new_base_model().diffusion_model
    words = WordEncoder(comfy.ops.disable_weight_init)
    initialise_unet(unet)
    initialise(words)
    both = torch.nn.ModuleDict({"unet": unet, "words": words}).train().requires_grad_(True)
    training = Training("base", dict(both.named_parameters()), schedule, folder)

    def loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        size, count = SMALL if step < SMALL_PART * schedule.steps else LARGE
        scene = random_scene(count, generator)
        batch = add_noise(render(scene, size) * 2 - 1, generator, mean=0.2 if size == SMALL[0] else 0.5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            context = words(Description.of(scene, said(count, generator)))
            predicted = unet(batch.noisy, batch.sigma * 1000, context)
        return (predicted.float() - batch.target).square().mean()

    training.run(loss)
    return training
