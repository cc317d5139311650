"""Core's own split over devices: a copy of the model for each, with threads of ComfyUI's, here on two CPUs.

The copies have different weights, so that whoever calls the other one's blocks predicts something else.
"""

from contextlib import contextmanager

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import UNET, call_of, every_family, world
from pack.tests.oracles.recorded_passes import sample as sample_unet
from pack.tests.oracles.recorded_passes import short_model
from pack.tests.oracles.row_arithmetic import RowByRow
from pack.tests.oracles.transformer_world import sample as sample_transformer
from pack.tools.miniature.transformers import tiny_transformer

import comfy.ldm.modules.attention
import comfy.ldm.wan.model

pytestmark = [pytest.mark.splits, pytest.mark.dit]

HALF = torch.ones(1, 8, 8).tril()
SECOND = torch.device("cpu", 0)  # for ComfyUI another device than "cpu"


@pytest.fixture(autouse=True)
def row_by_row(monkeypatch):
    """The base model's own bits must not depend on the size of the batch; its attention is a GPU's."""
    attention = comfy.ldm.modules.attention
    for module in (attention, comfy.ldm.wan.model):
        monkeypatch.setattr(module, "optimized_attention", attention.attention_pytorch)
    with RowByRow():
        yield


@contextmanager
def noted(*models):
    """What each network predicts meanwhile, by its place and the side of guidance."""
    seen = {}

    def note(place):
        def hook(network, args, kwargs, output):
            options = kwargs.get("transformer_options", args[-1] if args else None)
            sides = options["cond_or_uncond"]
            for side, rows in zip(sides, output.chunk(len(sides)), strict=True):
                assert (place, side) not in seen
                seen[place, side] = rows.clone()

        return hook

    handles = [
        model.model.diffusion_model.register_forward_hook(note(place), with_kwargs=True)
        for place, model in enumerate(models)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def sampled(case, model):
    """One step of ComfyUI's sampler, with both sides of guidance."""
    if world(case).name == UNET:
        return sample_unet(model, steps=1)
    return sample_transformer(model, call_of(case), steps=1)


@every_family
def test_each_device_calls_its_own_blocks(case):
    """ComfyUI gives one side of guidance to each copy: each predicts what it would alone, to the bit."""
    name, model, ip_adapter, prompt = world(case)
    other = short_model(seed=23) if name == UNET else tiny_transformer(name, seed=23)
    given = [ip_adapter, prompt, Strength(), HALF]
    patched, alone = apply_image_prompt(model, *given), apply_image_prompt(other, *given)
    with noted(model, other) as expected:
        for one in (patched, alone):
            sampled(case, one)
    with noted(model, other) as plain:
        for one in (model, other):
            sampled(case, one)
    copy = patched.clone(model_override=(other.model, ({}, {}, {}, set())))
    copy.load_device, copy.is_multigpu_base_clone = SECOND, True
    patched.set_additional_models("multigpu", [copy])
    with noted(model, other) as found:
        sampled(case, patched)
    assert sorted(place for place, _ in found) == [0, 1] and sorted(side for _, side in found) == [0, 1]
    for which, output in found.items():
        assert torch.equal(output, expected[which]), which
        assert not torch.equal(output, plain[which])
