"""Training of the demo's adapter and ControlNet on the frozen base model."""

from pathlib import Path

import torch
from torch import Tensor, nn

from comfy.clip_vision import ClipVisionModel

from ..ipadapter_core.training.decoupled import Drops, drop_images, new_adapter, trained_layers, with_image
from ..ipadapter_core.training.flow import add_noise
from ..ipadapter_core.training.loop import Schedule, Training
from .base import initialise
from .control import new_control_model
from .references import wild
from .training_base import said
from .training_encoder import normalise
from .words import SLOTS, Description, WordEncoder
from .world import outline, random_scene, render, same_style

TOKENS = 4
NAME = "demo_world_ip_adapter.safetensors"
SMALL, LARGE = (32, 64), (64, 20)  # picture size and batch
SHAPE_SAID, STYLE_SAID = 0.95, 0.1


def _size(step: int, schedule: Schedule, small_part: float) -> tuple[int, int]:
    return SMALL if step < small_part * schedule.steps else LARGE


def _noise_mean(size: int) -> float:
    return 0.2 if size == SMALL[0] else 0.5


def train_adapter(
    unet: nn.Module, words: WordEncoder, encoder: ClipVisionModel, schedule: Schedule, folder: Path, seed: int
) -> Training:
    """Trains the adapter: another picture in the reference's style, the text mostly naming the shape alone."""
    torch.manual_seed(seed)
    unet.requires_grad_(False)
    layers = trained_layers(unet)
    adapter = new_adapter(layers, encoder.config["projection_dim"], TOKENS, NAME)
    training = Training("adapter", dict(adapter.named_parameters()), schedule, folder)
    drops = Drops()

    def loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        size, count = _size(step, schedule, small_part=0.35)
        reference = random_scene(count, generator)
        scene = same_style(reference, generator)
        batch = add_noise(render(scene, size) * 2 - 1, generator, _noise_mean(size))
        image_kept, text_kept = drops.draw(count, generator)
        filled = torch.rand(count, SLOTS, generator=generator) < torch.tensor([SHAPE_SAID] + 4 * [STYLE_SAID])
        with torch.no_grad():
            context = words(Description.of(scene, filled & text_kept[:, None]))
            features = encoder.model(pixel_values=normalise(wild(reference, generator)))[2]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            options = with_image(adapter, layers, drop_images(features, image_kept))
            predicted = unet(batch.noisy, batch.sigma * 1000, context, transformer_options=options)
        return (predicted.float() - batch.target).square().mean()

    training.run(loss)
    return training


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
    training = Training("control", dict(control.named_parameters()), schedule, folder)

    def loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        size, count = LARGE
        scene = random_scene(count, generator)
        batch = add_noise(render(scene, size) * 2 - 1, generator, _noise_mean(size))
        hint = outline(scene, size).expand(-1, 3, -1, -1)
        with torch.no_grad():
            context = words(Description.of(scene, said(count, generator)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            added = control(x=batch.noisy, hint=hint, timesteps=batch.sigma * 1000, context=context)
            predicted = unet(batch.noisy, batch.sigma * 1000, context, control=added)
        return (predicted.float() - batch.target).square().mean()

    training.run(loss)
    return training
