"""torch.compile on transformers with an adapter: whole graphs, one program for a structure, the picture of the plain run."""

import pytest
import torch
from pack.ipadapter_core.application import Strength
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.compiler import Compiler
from pack.tests.dit import relative, some_call
from pack.tests.dit_world import every, mask_of, other_prompt, sample, world

import comfy.ldm.cosmos.predict2
import comfy.ldm.flux.math
import comfy.ldm.modules.attention
import comfy.ldm.modules.diffusionmodules.mmdit

LIMIT = 1e-5


@pytest.fixture(autouse=True)
def attention_as_on_a_gpu(monkeypatch):
    """PyTorch's attention; the CPU's default cannot be compiled at all."""
    attention = comfy.ldm.modules.attention
    for module in (attention, comfy.ldm.flux.math, comfy.ldm.modules.diffusionmodules.mmdit, comfy.ldm.cosmos.predict2):
        monkeypatch.setattr(module, "optimized_attention", attention.attention_pytorch)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@every
def test_dit_compile_without_breaks_or_recompilation(case):
    """No break is allowed at all; a program for each structure, none from step to step, and the same latent.

    Fails when a hook asks a tensor for its value, or when something that changes from step to step is no tensor.
    """
    name, model, ip_adapter, prompt = world(case)
    call, fade = some_call(name), WeightSchedule(((0.0, 1.0), (1.0, 0.2)))

    def apply(*args, given=prompt, **kwargs):
        return apply_image_prompt(model, ip_adapter, given, Strength(*args, **kwargs))

    stages = {
        "no adapter": (model, 1),
        "adapter": (apply(1.0), 1),
        "another picture and weight": (apply(0.5, given=other_prompt(case)), None),
        "window": (apply(1.0, 0.3, 0.7), None),
        "schedule": (apply(1.0, schedule=fade), None),
        "mask": (apply_image_prompt(model, ip_adapter, prompt, Strength(), mask_of(1.0, 0.0)), None),
    }
    compiler, found = Compiler(), {}
    for stage, (patched, _) in stages.items():
        expected, before = sample(patched, call, steps=4), compiler.programs
        result = sample(compiler.apply(patched), call, steps=4)
        found[stage] = compiler.programs - before
        assert relative(result - expected, expected) < LIMIT, stage
    print(found)
    assert all(found[stage] == wanted for stage, (_, wanted) in stages.items() if wanted is not None)
    assert all(count <= 1 for count in found.values())
