"""Guidance by text and image in every family: what three calls of the model and the published sums make."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.image_guider import ImageGuider
from pack.ipadapter_core.sampling.image_guidance import GuidanceOrder, ImageGuidance
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import call_of, every_family, other_prompt, world
from pack.tests.oracles.three_passes import ORDERS, ThreeCalls
from pack.tests.oracles.transformer_world import conditioning
from pack.tools.miniature.transformers import relative

import comfy.model_management
import comfy.samplers

pytestmark = [pytest.mark.engine, pytest.mark.dit]


def guided(guider, call, steps=2):
    """A latent by SamplerCustomAdvanced's way; nothing stays loaded, so that the model's weights are its own again."""
    start = call.latent[:1].clone()
    sampling = guider.model_patcher.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", steps)
    sampler = comfy.samplers.sampler_object("euler")
    try:
        return guider.sample(start, torch.zeros_like(start), sampler, sigmas, disable_pbar=True, seed=1)
    finally:
        comfy.model_management.unload_all_models()


def ours(model, texts, text, image, order):
    guider = ImageGuider(model)
    guider.set_conds(*texts)
    guider.set_guidance(ImageGuidance(text, image, GuidanceOrder(order)))
    return guider


@every_family
def test_the_published_sums_in_whole_runs(case):
    """Of two references of their own nodes; alike scales are ComfyUI's own guidance, to the bit."""
    _, model, ip_adapter, prompt = world(case)
    call = call_of(case)
    texts = conditioning(call)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(0.8))
    patched = apply_image_prompt(patched, ip_adapter, other_prompt(case), Strength(0.5))
    plain = comfy.samplers.CFGGuider(patched)
    plain.set_conds(*texts)
    plain.set_cfg(2.0)
    usual = guided(plain, call)
    assert torch.equal(guided(ours(patched, texts, 2.0, 2.0, ORDERS[0]), call), usual)
    results = []
    for order in ORDERS:
        found = guided(ours(patched, texts, 2.0, 4.0, order), call)
        wanted = guided(ThreeCalls(patched, *texts, 2.0, 4.0, order), call)
        assert relative(found - wanted, wanted - usual) < 2e-5
        results.append(wanted)
    assert relative(results[0] - results[1], results[0] - usual) > 1e-3
