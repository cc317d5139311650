"""Training of the base model: images of the world from noise, led by the five tokens of the text."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import comfy.ops

from ...ipadapter_core.training.loop import Training
from ...ipadapter_core.training.schedule import Schedule
from ..base import initialise, initialise_unet, new_base_model
from ..words import SLOTS, Description, WordEncoder
from ..world import random_scene, render
from .flow_matching import add_noise


@dataclass(frozen=True)
class Phase:
    """A stretch of the training: until which step, on what images, and around how much noise (see `add_noise`)."""

    until: int
    size: int
    batch: int
    noise: float


# Small images first teach words, colours and textures cheaply; then more noise, where shapes are decided.
PHASES = (Phase(600, 32, 64, 0.2), Phase(1000, 64, 20, 0.5), Phase(1550, 64, 20, 0.9), Phase(5000, 64, 20, 0.7))


def phase_at(step: int, phases: tuple[Phase, ...]) -> Phase:
    """The phase that a step belongs to; the last one does not end."""
    return next((phase for phase in phases if step < phase.until), phases[-1])


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
    training = Training("base", dict(both.named_parameters()), schedule, folder / "base.safetensors")

    def loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        phase = phase_at(step, PHASES)
        scene = random_scene(phase.batch, generator)
        batch = add_noise(render(scene, phase.size) * 2 - 1, generator, mean=phase.noise)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            context = words(Description.of(scene, said(phase.batch, generator)))
            predicted = unet(batch.noisy, batch.sigma * 1000, context)
        return (predicted.float() - batch.target).square().mean()

    training.run(loss)
    return training
