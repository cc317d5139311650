"""Training of the demo's adapter and ControlNet on the frozen base model."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from comfy.clip_vision import ClipVisionModel

from ...ipadapter_core.training.flow_matching import NoisyBatch, add_noise
from ...ipadapter_core.training.layer_matching import lessons, matching_loss
from ...ipadapter_core.training.loop import Schedule, Training
from ...ipadapter_core.training.trainable_adapter import (
    DropoutRates,
    drop_images,
    new_adapter,
    trained_layers,
    with_image,
)
from ..base import initialise
from ..control import new_control_model
from ..references import wild
from ..words import SLOTS, Description, WordEncoder
from ..world import outline, random_scene, render, same_style
from .base import Phase, phase_at, said
from .encoder import normalise

TOKENS = 4
NAME = "demo_world_ip_adapter.safetensors"
MATCHING_STEPS = 500
ADAPTER_PHASES = (Phase(MATCHING_STEPS, 64, 16, 0.7), Phase(900, 64, 16, 0.7))
CONTROL_PHASES = (Phase(360, 64, 20, 0.9),)
SHAPE_SAID, STYLE_SAID = 0.95, 0.1


@dataclass(frozen=True)
class Example:
    """One batch for the adapter: images on their way, the text, and another image in the same style."""

    batch: NoisyBatch
    short_context: Tensor  # the text as the adapter's user writes it: mostly the shape alone
    full_context: Tensor  # the same with the whole style in words, where the image is kept
    features: Tensor  # of the reference, zero where it is dropped


@dataclass(frozen=True)
class Teachers:
    """The frozen models that an adapter is trained between."""

    unet: nn.Module
    words: WordEncoder
    encoder: ClipVisionModel

    @torch.no_grad()
    def example(self, phase: Phase, generator: torch.Generator) -> Example:
        """Draws a batch: colour and texture words are left out nine times in ten, image and text now and then."""
        reference = random_scene(phase.batch, generator)
        scene = same_style(reference, generator)
        image_kept, text_kept = DropoutRates().draw(phase.batch, generator)
        chance = torch.tensor([SHAPE_SAID] + 4 * [STYLE_SAID])
        short = (torch.rand(phase.batch, SLOTS, generator=generator) < chance) & text_kept[:, None]
        style = torch.tensor([False, True, True, True, True])
        features = self.encoder.model(pixel_values=normalise(wild(reference, generator)))[2]
        return Example(
            add_noise(render(scene, phase.size) * 2 - 1, generator, phase.noise),
            self.words(Description.of(scene, short)),
            self.words(Description.of(scene, short | (style & image_kept[:, None]))),
            drop_images(features, image_kept),
        )


def train_adapter(teachers: Teachers, schedule: Schedule, folder: Path, seed: int) -> Training:
    """Trains the adapter: first to match what words would do at each layer, then end to end on images."""
    torch.manual_seed(seed)
    unet = teachers.unet.requires_grad_(False)
    layers = trained_layers(unet)
    adapter = new_adapter(layers, teachers.encoder.config["projection_dim"], TOKENS, NAME)
    training = Training("adapter", dict(adapter.named_parameters()), schedule, folder)

    def loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        example = teachers.example(phase_at(step, ADAPTER_PHASES), generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if step < MATCHING_STEPS:
                plan = lessons(adapter, layers, example.features, example.short_context)
                return matching_loss(unet, plan, example.batch, example.full_context)
            options = with_image(adapter, layers, example.features)
            noisy, time = example.batch.noisy, example.batch.sigma * 1000
            predicted = unet(noisy, time, example.short_context, transformer_options=options)
        return (predicted.float() - example.batch.target).square().mean()

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
