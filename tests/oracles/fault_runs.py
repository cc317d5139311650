"""A node that patches a model and the sampler behind it, to be run with and without a fault."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.scaling import Scaling
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.oracles.recorded_passes import (
    noise,
    picture,
    prompt_of,
    sample,
    short_adapter,
    short_model,
)
from pack.tests.oracles.transformer_world import other_prompt, world
from pack.tests.oracles.transformer_world import sample as sample_transformer
from pack.tools.miniature.transformers import some_call
from torch import Tensor

from comfy.model_patcher import ModelPatcher

CPU = torch.device("cpu")

LATENT = noise(2, 8, 8)

RAMP = torch.linspace(0, 1, 64).reshape(1, 8, 8)

STRENGTHS = {
    "plain": Strength(),
    "schedule": Strength(schedule=WeightSchedule(((0.0, 0.2), (1.0, 1.0))), end_percent=0.5),
    "frames": Strength(frames=(0.3, 1.1), scaling=Scaling.K_AND_V),
}


class Run(NamedTuple):
    """A node that patches `model`, and the sampler behind it."""

    model: ModelPatcher
    patch: Callable[[], ModelPatcher]
    sample: Callable[[ModelPatcher], Tensor]

    def image(self) -> Tensor:
        """Both, from nothing."""
        return self.sample(self.patch())


def unet_run(strength: Strength) -> Run:
    """Two references under a soft mask on a UNet, two images at once; the adapter is fresh, so that nothing is projected."""
    model = short_model()
    adapter = short_adapter(model)

    def patch() -> ModelPatcher:
        prompt = prompt_of(picture(2), picture(3))
        return apply_image_prompt(model, adapter, prompt, strength, mask=RAMP, per_frame=strength.frames is not None)

    return Run(model, patch, lambda one: sample(one, latent=LATENT))


def transformer_run(case: str) -> Run:
    """One reference on a transformer."""
    name, model, adapter, _ = world(case)
    call = some_call(name)

    def patch() -> ModelPatcher:
        return apply_image_prompt(model, adapter, other_prompt(case), STRENGTHS["schedule"])

    return Run(model, patch, lambda one: sample_transformer(one, call, steps=1))


def held_by(model: ModelPatcher) -> int:
    """Bytes that our patches keep on the compute device."""
    return sum(one.bytes_on(CPU) for one in applications_of(model.model_options["transformer_options"]))
