"""A model, an adapter and a prompt for each transformer family, and runs of them through ComfyUI's own sampler."""

from functools import cache

import pytest
import torch
from pack.ipadapter_core.prompt.features import Features
from pack.tools.miniature.pulid import face_features, pulid_flux
from pack.tools.miniature.transformers import (
    adapter,
    instantx_flux,
    instantx_sd3,
    lucifer,
    noise,
    perceiver,
    prompt_for,
    tiny_transformer,
    weights_of,
    xlabs,
)

import comfy.model_management
import comfy.sample

CASES = {
    "FLUX XLabs": ("FLUX", xlabs(2, 256, 64), (48,)),
    "FLUX InstantX": ("FLUX", instantx_flux(5, 256, 64), (48,)),
    "FLUX PuLID": ("FLUX", pulid_flux(2, 256), face_features),
    "Chroma PuLID": ("Chroma", pulid_flux(2, 256), face_features),
    "Chroma InstantX": ("Chroma", instantx_flux(5, 256, 64), (48,)),
    "SD3.5 InstantX": ("SD3", instantx_sd3(3, 192), (9, 48)),
    "Anima LuciferTC": ("Anima", lucifer(3, 128), (9, 48)),
    "Anima PE-Core": ("Anima", perceiver(3, 128), (9, 48)),
}
every = pytest.mark.parametrize("case", CASES)


@cache
def world(case):
    """A model, an adapter, and a prompt of one picture."""
    name, shapes, _ = CASES[case]
    weights = {key: tensor * (0.2 if key.startswith("lora") else 1) for key, tensor in weights_of(shapes).items()}
    ip_adapter = adapter(weights)
    return name, tiny_transformer(name), ip_adapter, prompt_for(ip_adapter, features_of(case, 8))


def other_prompt(case, seed=11):
    return prompt_for(world(case)[2], features_of(case, seed))


def features_of(case: str, seed: int) -> Features:
    """Seeded features as a case's adapter reads them: noise of a shape, or what its own function makes."""
    given = CASES[case][2]
    return noise(1, *given, seed=seed) if isinstance(given, tuple) else given(seed)


def mask_of(*sides):
    """A mask (1, 8, 6): a value for each half from left to right."""
    return torch.tensor(sides).repeat_interleave(3).expand(1, 8, 6).clone()


def conditioning(call):
    extra = {"pooled_output": call.arguments["y"][:1]} if "y" in call.arguments else {}
    return [[call.arguments["context"][:1], extra | {"guidance": 3.5}]], [
        [call.arguments["context"][1:], extra | {"guidance": 3.5}]
    ]


def sample(model, call, steps=3, cfg=2.0):
    """A latent by ComfyUI's own sampler; nothing stays loaded, so that the model's weights are its own again."""
    start, (positive, negative) = call.latent[:1].clone(), conditioning(call)
    options = {"seed": 1, "disable_pbar": True}
    try:
        return comfy.sample.sample(
            model, start, steps, cfg, "euler", "simple", positive, negative, torch.zeros_like(start), **options
        )
    finally:
        comfy.model_management.unload_all_models()
