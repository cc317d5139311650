"""Calls as a ComfyUI after 0.30 makes them, and models that ComfyUI copies to another device: every family."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import UNET, call_of, every_family, world
from pack.tests.oracles.newer_core import NEWER
from pack.tests.oracles.recorded_passes import short_model
from pack.tools.miniature.transformers import predict, tiny_transformer

pytestmark = [pytest.mark.dit, pytest.mark.splits]


@every_family
def test_a_newer_cores_calls(case, monkeypatch):
    """The same prediction to the bit; what a newer core says besides reaches ComfyUI's attention."""
    name, model, ip_adapter, prompt = world(case)
    call = call_of(case)
    expected = predict(apply_image_prompt(model, ip_adapter, prompt, Strength()), call)
    plain = predict(model, call)
    check = NEWER[name](monkeypatch, model.model.diffusion_model)
    again = apply_image_prompt(model, ip_adapter, prompt, Strength())
    assert torch.equal(predict(again, call), expected) and not torch.equal(expected, plain)
    check()


@every_family
def test_a_copy_for_another_device_calls_its_own_blocks(case):
    """Core's multi-GPU clone is another model under the same patches: what it predicts is what it would predict alone."""
    name, model, ip_adapter, prompt = world(case)
    other, call = short_model(seed=23) if name == UNET else tiny_transformer(name, seed=23), call_of(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength())
    copy = patched.clone(model_override=(other.model, ({}, {}, {}, set())))
    expected = predict(apply_image_prompt(other, ip_adapter, prompt, Strength()), call)
    assert torch.equal(predict(copy, call), expected)
    assert not torch.equal(expected, predict(patched, call))


@every_family
def test_both_copies_in_one_run(case):
    """Core calls all devices' copies in the same run, one in each thread: hooks that are kept for a run are not mixed up."""
    name, model, ip_adapter, prompt = world(case)
    other, call = short_model(seed=23) if name == UNET else tiny_transformer(name, seed=23), call_of(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength())
    copy = patched.clone(model_override=(other.model, ({}, {}, {}, set())))
    expected, run = [predict(one, call) for one in (patched, copy)], Run()
    assert all(
        torch.equal(predict(one, call, run=run), alone) for one, alone in zip((patched, copy), expected, strict=True)
    )
