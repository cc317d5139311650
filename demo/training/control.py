"""Training of the demo's ControlNet on the frozen base model: it follows white outlines on black."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ...ipadapter_core.training.loop import Training
from ...ipadapter_core.training.schedule import Schedule
from ..base import initialise
from ..control import new_control_model
from ..words import Description, WordEncoder
from ..world import outline, random_scene, render
from .base import Phase, phase_at, said
from .flow_matching import add_noise

CONTROL_PHASES = (Phase(360, 64, 20, 0.9),)


def new_control_from(unet: nn.Module) -> nn.Module:
    """A ControlNet that starts as a copy of the UNet's first half and adds nothing yet (Zhang et al. 2023)."""
    control = new_control_model()
    initialise(control)
    own = control.state_dict()
    own.update({key: value for key, value in unet.state_dict().items() if key in own})
    control.load_state_dict(own)
    with torch.no_grad():
        for name, parameter in control.named_parameters():
            if name.startswith(("zero_convs.", "middle_block_out.")):
                parameter.zero_()
    return control.train().requires_grad_(True)


def train_control(unet: nn.Module, words: WordEncoder, schedule: Schedule, folder: Path, seed: int) -> Training:
    """Trains the ControlNet on outlines, with every kind of text."""
    torch.manual_seed(seed)
    unet.requires_grad_(False)
    control = new_control_from(unet)
    training = Training("control", dict(control.named_parameters()), schedule, folder / "control.safetensors")

    def loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        phase = phase_at(step, CONTROL_PHASES)
        scene = random_scene(phase.batch, generator)
        batch = add_noise(render(scene, phase.size) * 2 - 1, generator, phase.noise)
        hint = outline(scene, phase.size).expand(-1, 3, -1, -1)
        with torch.no_grad():
            context = words(Description.of(scene, said(phase.batch, generator)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            added = control(x=batch.noisy, hint=hint, timesteps=batch.sigma * 1000, context=context)
            predicted = unet(batch.noisy, batch.sigma * 1000, context, control=added)
        return (predicted.float() - batch.target).square().mean()

    training.run(loss)
    return training
