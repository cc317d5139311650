"""Everything applied to a model, scaled: equal to applying the product; removed: the model as it was before, to the bit."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.faceid_lora import apply_lora
from pack.ipadapter_core.patchers.hooks.wrappers import NAME, WRAPPERS
from pack.ipadapter_core.patchers.own_loras import OWN_LORAS
from pack.ipadapter_core.patchers.scale_applied import scale_applied
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import call_of, every_family, other_prompt, world
from pack.tests.oracles.transformer_world import sample
from pack.tools.miniature.faces import loaded, weights_of
from pack.tools.miniature.models import tiny_model, widths_of
from pack.tools.miniature.transformers import predict, tiny_transformer

from comfy.ldm.modules.attention import optimized_attention

pytestmark = pytest.mark.engine


def two_prompts(case, *weights):
    """A model with two applications."""
    _, model, ip_adapter, prompt = world(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(weights[0], 0.0, 0.6))
    return apply_image_prompt(patched, ip_adapter, other_prompt(case), Strength(weights[1]))


def state(model):
    """What a clone carries beside the network."""
    return (
        dict(model.object_patches),
        {key: [entry[1] for entry in entries] for key, entries in model.patches.items()},
        model.model_options["transformer_options"].get("patches", {}),
        [model.get_wrappers(kind, NAME) for kind in WRAPPERS],
        model.get_attachment(OWN_LORAS) or (),
    )


@every_family
def test_scaled_is_applied_with_the_product(case):
    """To the bit, in a whole run; the model that went in keeps its weights."""
    call = call_of(case)
    before = two_prompts(case, 1.0, 0.5)
    wanted, kept = sample(two_prompts(case, 0.25, 0.125), call), sample(before, call)
    scaled, report = scale_applied(before, 0.25)
    assert torch.equal(sample(scaled, call), wanted)
    assert torch.equal(sample(before, call), kept) and not torch.equal(wanted, kept)
    assert "weight 1 becomes 0.25" in report and "weight 0.5 becomes 0.125" in report


@every_family
def test_removed_is_the_model_as_it_was(case):
    """In a whole run to the bit, and nothing of ours is left in the clone; again and again."""
    model, call = world(case).model, call_of(case)
    plain = sample(model, call)
    applied = two_prompts(case, 1.0, 0.5)
    with_both = sample(applied, call)
    removed, report = scale_applied(applied, 0.0)
    assert torch.equal(sample(removed, call), plain)
    assert state(removed) == state(model)
    assert torch.equal(sample(applied, call), with_both)
    assert state(scale_applied(removed, 0.0).model) == state(model)
    assert report.count("taken out") == 2


def test_removal_leaves_what_other_packs_set():
    """An operation of another pack under ours, and a hook and a patch beside ours."""
    model = tiny_transformer("Anima").clone()
    path = "diffusion_model.blocks.0"

    def operation(*given, **named):
        return optimized_attention(*given, **named)

    def hook(*_given):
        return None

    model.add_object_patch(f"{path}.cross_attn.attn_op", operation)
    hooks = type(model.get_model_object(f"{path}._forward_hooks"))({"another": hook})
    model.add_object_patch(f"{path}._forward_hooks", hooks)
    model.set_model_patch(hook, "attn1_patch")
    ip_adapter, prompt = world("Anima LuciferTC")[2:]
    removed, _ = scale_applied(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), 0.0)
    assert state(removed) == state(model)
    assert removed.get_model_object(f"{path}.cross_attn.attn_op") is operation


def test_a_model_without_image_prompts_is_let_through():
    """And the node says so."""
    model = world("UNet base").model
    for factor in (0.0, 2.0):
        same, report = scale_applied(model, factor)
        assert state(same) == state(model) and report == "no image prompt is applied to this model"


def test_the_lora_of_a_face_goes_along(tmp_path):
    """Scaled with the weights; removed with them; another node's LoRA stays."""
    model = tiny_model("SD1.5")
    weights = weights_of("FaceID", widths_of(model), 96, lora=True)
    ip_adapter = loaded(weights, tmp_path)
    other, _ = apply_lora(model, ip_adapter, 0.3)
    other.set_attachments(OWN_LORAS, ())  # as if another node had applied it
    both, _ = apply_lora(other, ip_adapter, 0.8)
    strengths = {tuple(entry[0] for entry in entries) for entries in both.patches.values()}
    assert strengths == {(0.3, 0.8)}
    scaled, _ = scale_applied(both, 0.5)
    assert {tuple(entry[0] for entry in entries) for entries in scaled.patches.values()} == {(0.3, 0.4)}
    removed, _ = scale_applied(scaled, 0.0)
    assert state(removed)[1] == state(other)[1] and removed.patches_uuid != scaled.patches_uuid


def test_weights_are_merged_anew():
    """A LoRA that is part of an adapter for Anima: a call after the removal has the model's own weights."""
    case = "Anima LuciferTC"
    model, call = world(case).model, call_of(case)
    plain = predict(model, call)
    applied = two_prompts(case, 1.0, 0.5)
    assert applied.patches
    assert torch.equal(predict(scale_applied(applied, 0.0).model, call), plain)
