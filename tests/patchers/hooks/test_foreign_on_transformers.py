"""Other packs' patches on transformers: block replacements, skipped blocks, attention overrides."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_world import every, world
from pack.tools.miniature.transformers import predict, some_call

pytestmark = pytest.mark.dit


class Foreign:
    """Another pack's block replacement: counts, and calls the original or returns what it kept."""

    def __init__(self, skip=False):
        self.calls, self.skip = 0, skip

    def __call__(self, args, extra):
        self.calls += 1
        return {"img": args["img"], "txt": args["txt"]} if self.skip else extra["original_block"](args)


@pytest.mark.parametrize("case", ["FLUX XLabs", "FLUX InstantX", "SD3.5 InstantX"])
@pytest.mark.parametrize("first", [True, False])
def test_foreign_block_patches_keep_working(case, first):
    """Set before or after us, they are called, and change nothing if they do nothing."""
    name, model, ip_adapter, prompt = world(case)
    call, foreign = some_call(name), Foreign()
    wanted = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call)
    start = model.clone()
    if first:
        start.set_model_patch_replace(foreign, "dit", "double_block", 1)
    patched = apply_image_prompt(start, ip_adapter, prompt, Strength(1.0))
    if not first:
        patched.set_model_patch_replace(foreign, "dit", "double_block", 1)
    assert torch.equal(predict(patched, call), wanted)
    assert foreign.calls == 1


@pytest.mark.parametrize("case", ["FLUX XLabs", "FLUX InstantX", "SD3.5 InstantX"])
def test_a_skipped_block_adds_nothing(case):
    """Packs that cache blocks skip them; then nothing is left over for the next one."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0))
    for number in range(3):
        patched.set_model_patch_replace(Foreign(skip=True), "dit", "double_block", number)
    plain = model.clone()
    for number in range(3):
        plain.set_model_patch_replace(Foreign(skip=True), "dit", "double_block", number)
    same = torch.equal(predict(patched, call), predict(plain, call))
    assert same is (case != "FLUX InstantX")  # whose single blocks still act


@every
def test_foreign_attention_overrides_keep_working(case):
    """The single slot for attention is shared: another pack's override sees every call, ours included, and counts them."""
    name, model, ip_adapter, prompt = world(case)
    call, seen = some_call(name), []

    def override(function, *args, **kwargs):
        seen.append(function)
        return function(*args, **kwargs)

    wanted = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call)
    found = predict(
        apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call, optimized_attention_override=override
    )
    assert torch.equal(found, wanted)
    plain, ours = len(seen), 0
    seen.clear()
    predict(model, call, optimized_attention_override=override)
    ours = len(seen)
    assert plain == ours > 0
