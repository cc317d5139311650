"""torch.compile on transformers and on PuLID's UNet: whole graphs, a program for a structure, the image of the plain run."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.oracles.compiler import Compiler
from pack.tests.oracles.families import call_of
from pack.tests.oracles.recorded_passes import WIDTH, short_model
from pack.tests.oracles.transformer_world import mask_of, sample
from pack.tools.miniature.instant_character import character_features, instant_character
from pack.tools.miniature.lynx import lynx_full, lynx_lite
from pack.tools.miniature.pulid import face_features, id_former, pulid_flux
from pack.tools.miniature.pulid_sdxl import pulid_v1_1
from pack.tools.miniature.transformers import (
    SD3,
    adapter,
    instantx_flux,
    instantx_sd3,
    lucifer,
    noise,
    perceiver,
    prompt_for,
    relative,
    some_call,
    tiny_transformer,
    weights_of,
    xlabs,
)

import comfy.ldm.cosmos.predict2
import comfy.ldm.flux.math
import comfy.ldm.modules.attention
import comfy.ldm.modules.diffusionmodules.mmdit
import comfy.ldm.wan.model

pytestmark = pytest.mark.dit

LIMIT = 1e-5
NARROW = SD3["context_embedder_config"] | {"params": {"in_features": 64, "out_features": 64}}
PAIR, ONE = {"depth": 1, "depth_single_blocks": 1}, {"num_blocks": 1}
SHALLOW = {
    "channel_mult": [1], "num_res_blocks": [1], "transformer_depth": [1], "transformer_depth_output": [1, 1],
}  # fmt: skip
CASES = {  # a block of each kind: compiling takes its time
    "FLUX XLabs": ("FLUX", PAIR, xlabs(1, 256, 64), (48,)),
    "FLUX InstantX": ("FLUX", PAIR, instantx_flux(2, 256, 64), (48,)),
    "FLUX PuLID": ("FLUX", PAIR, pulid_flux(2, 256), face_features),
    "FLUX InstantCharacter": ("FLUX", PAIR, instant_character(2, 256, blocks=1), character_features),
    "SDXL PuLID": ("UNet", SHALLOW, pulid_v1_1([32] * 4, WIDTH, id_former(WIDTH, depth=5)), face_features),
    "SD3.5 InstantX": ("SD3", {"depth": 1, "context_embedder_config": NARROW}, instantx_sd3(1, 64, depth=1), (9, 48)),
    "Anima LuciferTC": ("Anima", ONE, lucifer(1, 128), (9, 48)),
    "Anima PE-Core": ("Anima", ONE, perceiver(1, 128, depth=1), (9, 48)),
    "Wan Lynx lite": ("Wan", {"num_layers": 1}, lynx_lite(1), (512,)),
    "Wan Lynx full": ("Wan", {"num_layers": 1}, lynx_full(1), (512,)),
}


@pytest.fixture(autouse=True)
def attention_as_on_a_gpu(monkeypatch):
    """PyTorch's attention; the CPU's default cannot be compiled at all."""
    attention = comfy.ldm.modules.attention
    homes = (
        comfy.ldm.flux.math,
        comfy.ldm.modules.diffusionmodules.mmdit,
        comfy.ldm.cosmos.predict2,
        comfy.ldm.wan.model,
    )
    for module in (attention, *homes):
        monkeypatch.setattr(module, "optimized_attention", attention.attention_pytorch)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("case", CASES)
def test_dit_compile_without_breaks_or_recompilation(case):
    """No break is allowed at all; a program for each structure, none from step to step, and the same latent."""
    name, sizes, shapes, features = CASES[case]
    ip_adapter = adapter(weights_of(shapes))
    if name == "UNet":
        model, call = short_model(**sizes), call_of("UNet PuLID v1.1")
    else:
        model, call = tiny_transformer(name, **sizes), some_call(name)
    fading = Strength(schedule=WeightSchedule(((0.0, 1.0), (1.0, 0.2))))

    def applied(strength, seed=8, mask=None):
        given = noise(1, *features, seed=seed) if isinstance(features, tuple) else features(seed)
        prompt = prompt_for(ip_adapter, given)
        return apply_image_prompt(model, ip_adapter, prompt, strength, mask)

    stages = {
        "no adapter": (model, 1),
        "adapter": (applied(Strength()), 1),
        "another image and weight": (applied(Strength(0.5), seed=11), 0),
        "schedule and mask": (applied(fading, mask=mask_of(1.0, 0.0)), 1),
    }
    compiler = Compiler()
    for stage, (patched, new) in stages.items():
        expected, before = sample(patched, call, steps=2), compiler.programs
        result = sample(compiler.apply(patched), call, steps=2)
        assert relative(result - expected, expected) < LIMIT, stage
        assert compiler.programs - before == new, stage
