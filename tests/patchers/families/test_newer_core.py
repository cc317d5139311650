"""Calls as a ComfyUI after 0.30 makes them, and models that ComfyUI copies to another device.

Stand-ins written from ComfyUI's comfy/ldm/modules/attention.py (05080f60) and comfy/ldm/cosmos/predict2.py (523fba4d).
"""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_world import CASES, every, world
from pack.tools.miniature.transformers import predict, some_call, tiny_transformer

import comfy.ldm.cosmos.predict2 as predict2
import comfy.ldm.flux.layers as flux_layers

pytestmark = [pytest.mark.dit, pytest.mark.splits]
ANIMA = [case for case in CASES if case.startswith("Anima")]


class Container:
    """Holds a tensor until somebody takes it: once."""

    def __init__(self, tensor):
        self.tensor = tensor

    def peek(self):
        """Reads."""
        return self.tensor

    def take(self):
        """Reads once, and is empty then."""
        taken, self.tensor = self.tensor, None
        assert taken is not None, "taken twice"
        return taken


@pytest.mark.parametrize("case", ANIMA)
def test_anima_hands_containers_and_a_preferred_attention(case, monkeypatch):
    """The same prediction to the bit, and the layer's preference reaches ComfyUI's attention."""
    name, model, ip_adapter, prompt = world(case)
    patched, call = apply_image_prompt(model, ip_adapter, prompt, Strength()), some_call(name)
    expected, plain = predict(patched, call), predict(model, call)
    told, operation = [], predict2.torch_attention_op

    def newer(q, k, v, transformer_options=None, preferred_attention=None):
        told.append(preferred_attention)
        return operation(*(one.take() for one in (q, k, v)), transformer_options=transformer_options)

    def compute(self, q, k, v, transformer_options=None):
        packed = (Container(one) for one in (q, k, v))
        out = self.attn_op(*packed, transformer_options=transformer_options, preferred_attention="int8")
        return self.output_dropout(self.output_proj(out))

    for block in model.model.diffusion_model.blocks:
        for attention in (block.self_attn, block.cross_attn):
            monkeypatch.setattr(attention, "attn_op", newer)
    monkeypatch.setattr(predict2.Attention, "compute_attention", compute)
    again = apply_image_prompt(model, ip_adapter, prompt, Strength())
    assert torch.equal(predict(again, call), expected) and not torch.equal(expected, plain)
    assert set(told) == {"int8"}


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("FLUX")])
def test_flux_patches_take_further_words(case, monkeypatch):
    """A core that tells patches more than today's."""
    name, model, ip_adapter, prompt = world(case)
    patched, call = apply_image_prompt(model, ip_adapter, prompt, Strength()), some_call(name)
    expected = predict(patched, call)
    hooked = flux_layers.DoubleStreamBlock.forward

    def newer(self, *args, transformer_options, **kwargs):
        patches = dict(transformer_options.get("patches", {}))
        for kind in ("attn1_patch", "attn1_output_patch"):
            patches[kind] = [_told_more(patch) for patch in patches.get(kind, [])]
        return hooked(self, *args, transformer_options=transformer_options | {"patches": patches}, **kwargs)

    monkeypatch.setattr(flux_layers.DoubleStreamBlock, "forward", newer)
    assert torch.equal(predict(patched, call), expected)


def _told_more(patch):
    return lambda *args, **kwargs: patch(*args, **kwargs, preferred_attention="int8")


@every
def test_a_copy_for_another_device_calls_its_own_blocks(case):
    """Core's multi-GPU clone is another model under the same patches: what it predicts is what it would predict alone."""
    name, model, ip_adapter, prompt = world(case)
    other, call = tiny_transformer(name, seed=23), some_call(name)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength())
    copy = patched.clone(model_override=(other.model, ({}, {}, {}, set())))
    expected = predict(apply_image_prompt(other, ip_adapter, prompt, Strength()), call)
    assert torch.equal(predict(copy, call), expected)
    assert not torch.equal(expected, predict(patched, call))
