"""Masks for every transformer family: on the image's tokens alone, at any size, beside text and reference latents."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families import flux
from pack.ipadapter_core.patchers.hooks.wrappers import PLAN, STEP, CallState, applications_of
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_world import mask_of, world
from pack.tools.miniature.transformers import noise, predict, relative, some_call

pytestmark = pytest.mark.dit


def additions(case, kind, mask, references=6):
    """What one block's hook adds to 7 text tokens, a grid of 4 by 3 and some reference tokens, (1, L, D)."""
    _, model, ip_adapter, prompt = world(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0), mask)
    options = patched.model_options["transformer_options"] | {"cond_or_uncond": [0]}
    latent, sigma = noise(1, 4, 8, 6), torch.full((1,), 0.5)
    run = Run()
    options[STEP] = run.step([[]], latent, sigma, applications_of(options))
    options = flux.compose(applications_of(options), options, run, CallState(model.model.diffusion_model, sigma))
    length = 7 + 12 + references
    options |= {
        "block_type": kind,
        "block_index": 0,
        "img_slice": [7, length],
        "reference_image_num_tokens": [references],
    }
    query = noise(1, 2, length, 128)
    options["patches"]["attn1_patch"][0](query, query, query, pe=query, extra_options=dict(options))
    ((out, multiplier),) = options[PLAN].pending.values()
    return (out if multiplier is None else out * multiplier).transpose(1, 2).flatten(2)


@pytest.mark.parametrize(
    ("case", "kind", "before"),
    [("FLUX XLabs", "double", 0), ("FLUX InstantX", "double", 0), ("FLUX InstantX", "single", 7)],
)
def test_masks_lie_on_the_picture_alone(case, kind, before):
    """Full, half and nothing in the grid's three columns; text and Kontext's references get the mask's mean."""
    masked, whole = additions(case, kind, mask_of(1.0, 0.0)), additions(case, kind, None)
    grid = torch.tensor([1.0, 0.5, 0.0]).repeat(4)
    weights = torch.cat((torch.full((before,), 0.5), grid, torch.full((6,), 0.5)))
    assert masked.shape == whole.shape == (1, before + 18, 256)
    torch.testing.assert_close(masked, whole * weights[:, None])


@pytest.mark.parametrize("case", ["FLUX XLabs", "FLUX InstantX"])
def test_reference_latents_of_kontext(case):
    """The mask's grid is the image's, whatever is appended to be edited; ones stay no mask."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)
    edited = call._replace(arguments=call.arguments | {"ref_latents": [noise(2, 4, 6, 4, seed=3)]})
    whole = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), edited)
    plain = predict(model, edited)
    halves = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0), mask_of(1.0, 0.0))
    halves = apply_image_prompt(halves, ip_adapter, prompt, Strength(1.0), mask_of(0.0, 1.0))
    assert relative(predict(halves, edited) - whole, whole - plain) < 2e-5
    assert relative(whole - plain, plain) > 0.02
