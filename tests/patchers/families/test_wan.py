"""Wan's own ways to be called: windows of frames, frames beside the video's, variants, and attention of other packs."""

from types import SimpleNamespace

import pytest
import torch
from pack.ipadapter_core.errors import ModelMismatchError, SamplingError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import world
from pack.tests.oracles.transformer_world import mask_of
from pack.tools.miniature.transformers import noise, predict, relative, some_call, tiny_transformer

import comfy.ldm.modules.attention
import comfy.ldm.wan.model as wan

pytestmark = pytest.mark.dit

CASE = "Wan Lynx lite"


def applied(model, *masks, weight=1.0):
    """The row's adapter, once under each mask."""
    _, _, ip_adapter, prompt = world(CASE)
    for mask in masks or (None,):
        model = apply_image_prompt(model, ip_adapter, prompt, Strength(weight), mask)
    return model


def moving(frames):
    """A mask of its own for each frame of a video."""
    return torch.rand(frames, 8, 6, generator=torch.Generator().manual_seed(3))


def window(*frames, anchor=-1):
    return SimpleNamespace(index_list=list(frames), dim=2, causal_anchor_index=anchor)


@pytest.mark.parametrize(("shown", "places"), [(window(4, 5, 6), (4, 5, 6)), (window(5, 6, anchor=0), (0, 5, 6))])
def test_context_windows(shown, places):
    """Each latent frame has the mask of its own place in the whole video, also behind a window's anchor."""
    masks = moving(40)
    model, call = world(CASE).model, some_call("Wan")
    own = masks[[max(4 * place - 2, 0) for place in places]]
    alone = torch.zeros(9, 8, 6)
    alone[[0, 2, 6]] = own  # the masks that a video of three latent frames has
    found = predict(applied(model, masks), call, context_window=shown)
    assert torch.equal(found, predict(applied(model, alone), call))
    assert not torch.equal(found, predict(applied(model, masks), call))


BESIDE = {
    "a reference in front": ({"in_dim_ref_conv": 16}, {"reference_latent": noise(2, 16, 8, 6, seed=3)}),
    "frames behind": ({}, {"time_dim_concat": noise(2, 16, 2, 8, 6, seed=3)}),
    "images in context": ({}, {"context_latents": [noise(2, 16, 1, 8, 6, seed=3)]}),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_frames_beside_the_video(beside):
    """Under two moving masks that complete one another they get what they get under none, as the video does."""
    sizes, given = BESIDE[beside]
    model, call = tiny_transformer("Wan", **sizes), some_call("Wan")
    call = call._replace(arguments=call.arguments | given)
    plain, whole, masks = predict(model, call), predict(applied(model), call), moving(9)
    assert relative(whole - plain, plain) > 0.02
    assert relative(predict(applied(model, masks, 1 - masks), call) - whole, whole - plain) < 2e-5


def test_tokens_that_are_no_whole_frames():
    """Beside a mask they are an error; without one every token is right by itself."""
    model, call = world(CASE).model, some_call("Wan")
    call = call._replace(arguments=call.arguments | {"context_latents": [noise(2, 16, 1, 4, 4, seed=3)]})
    assert relative(predict(applied(model), call) - predict(model, call), predict(model, call)) > 0.02
    with pytest.raises(SamplingError, match="called with 40 tokens, where 3 frames of 12 were expected"):
        predict(applied(model, mask_of(1.0, 0.0)), call)


def test_vace():
    """Its context goes another way; the reference acts in the blocks of the video."""
    model = tiny_transformer("Wan VACE")
    call = some_call("Wan")
    context = {"vace_context": noise(2, 1, 96, 3, 8, 6, seed=4), "vace_strength": [1.0]}
    call = call._replace(arguments=call.arguments | context)
    plain, whole = predict(model, call), predict(applied(model), call)
    assert relative(whole - plain, plain) > 0.02
    assert relative(predict(applied(model, *halves()), call) - whole, whole - plain) < 2e-5
    assert torch.equal(predict(applied(model, weight=0.0), call), plain)


def halves():
    return mask_of(1.0, 0.0), mask_of(0.0, 1.0)


def guided(self, x, context, transformer_options=None, **_):
    """Another pack's cross-attention: away from a second text, which is the first one backwards."""
    q = self.norm_q(self.q(x))
    found = []
    for text in (context, context.flip(1) * 0.5):
        key, value = self.norm_k(self.k(text)), self.v(text)
        attended = comfy.ldm.modules.attention.optimized_attention(
            q, key, value, heads=self.num_heads, transformer_options=transformer_options
        )
        found.append(attended)
    return self.o(3 * found[0] - 2 * found[1])


def test_guidance_inside_the_attention(monkeypatch):
    """A pack that attends twice and goes from one result away from the other: what the reference adds stays itself."""
    model, call = world(CASE).model, some_call("Wan")
    monkeypatch.setattr(wan.WanT2VCrossAttention, "forward", guided)
    plain, once = predict(model, call), predict(applied(model), call)

    def projected(self, x, context, transformer_options=None, **_):
        told = dict(transformer_options)
        ours = told.pop("optimized_attention_override", None)
        q = self.norm_q(self.q(x))
        nothing = torch.zeros_like(self.k(context))
        added = 0 if ours is None else ours(_nothing, q, nothing, nothing, transformer_options=transformer_options)
        return guided(self, x, context, told) + self.o(added + 0 * q) - self.o(0 * q)

    monkeypatch.setattr(wan.WanT2VCrossAttention, "forward", projected)
    assert relative(predict(applied(model), call) - once, once - plain) < 2e-5
    assert relative(once - plain, plain) > 0.02


def _nothing(query, *_args, **_kwargs):
    return torch.zeros_like(query)


def test_an_attention_that_asks_nobody(monkeypatch):
    """A pack's own cross-attention without ComfyUI's options would lose the reference: that is said."""

    def deaf(self, x, context, **_):
        return self.o(x)

    model, call = world(CASE).model, some_call("Wan")
    monkeypatch.setattr(wan.WanT2VCrossAttention, "forward", deaf)
    with pytest.raises(SamplingError, match="without the hooks"):
        predict(applied(model), call)


def test_models_that_skip_the_attention_are_refused():
    """The causal Wan keeps the text's keys and attends past every hook."""
    _, model, ip_adapter, prompt = world(CASE)
    other = model.clone()
    network = model.model.diffusion_model
    causal = object.__new__(type("CausalWanModel", (type(network),), {}))
    causal.__dict__.update(network.__dict__)
    other.add_object_patch("diffusion_model", causal)
    with pytest.raises(ModelMismatchError, match="for Wan 14B, but the model is WAN21"):
        apply_image_prompt(other, ip_adapter, prompt, Strength())
