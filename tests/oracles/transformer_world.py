"""The transformers' rows of `families.py`, and runs of them through ComfyUI's own sampler."""

import pytest
import torch
from pack.tests.oracles.families import TRANSFORMERS as CASES
from pack.tests.oracles.families import features_of, other_prompt, world

import comfy.model_management
import comfy.sample

__all__ = ["CASES", "conditioning", "every", "features_of", "mask_of", "other_prompt", "sample", "world"]

every = pytest.mark.parametrize("case", CASES)


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
