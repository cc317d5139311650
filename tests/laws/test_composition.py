"""Transformer adapters beside other packs' changes: caches, other adapters, guidance, LoRA, quantised weights."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_world import CASES, every, sample, world
from pack.tools.miniature.transformers import noise, predict, relative, some_call, tiny_transformer
from torch.nn.functional import linear

import comfy.lora
import comfy.sd
from comfy_extras.nodes_nag import NAGuidance

pytestmark = pytest.mark.dit

FLUX = pytest.mark.parametrize("case", ["FLUX XLabs", "FLUX InstantX", "Chroma InstantX"])

LIMIT = 5e-6

# a LoRA on quantised weights, as LuciferTC's adapter brings one, is rounded with them by ComfyUI
WITHOUT_LORA = pytest.mark.parametrize("case", [case for case in CASES if case != "Anima LuciferTC"])


def patched(case, model, weight=1.0):
    """The model with the case's adapter."""
    return apply_image_prompt(model, world(case)[2], world(case)[3], Strength(weight))


def both_orders(case, change):
    """The other pack's node before ours, and after it."""
    model = world(case)[1]
    return patched(case, change(model)), change(patched(case, model))


class StepCache:
    """As TeaCache does: a wrapper around the model that answers every second call with what the call before gave."""

    def __init__(self):
        self.runs, self.calls, self.kept = 0, 0, None

    def __call__(self, apply_model, arguments):
        self.calls += 1
        if self.calls % 2:
            self.runs += 1
            self.kept = apply_model(arguments["input"], arguments["timestep"], **arguments["c"])
        return self.kept

    def on(self, model):
        """What its node does."""
        clone = model.clone()
        clone.set_model_unet_function_wrapper(self)
        return clone


@every
def test_dit_with_a_cache_of_steps(case):
    """In either order the same image; steps that the cache answers do not run us, and nothing waits for the next one."""
    call, results = some_call(world(case)[0]), []
    for first in (True, False):
        cache = StepCache()
        model = both_orders(case, cache.on)[0 if first else 1]
        results.append(sample(model, call, steps=4))
        assert (cache.calls, cache.runs) == (4, 2)
    assert torch.equal(*results)
    silent = sample(StepCache().on(patched(case, world(case)[1], 0.0)), call, steps=4)
    assert torch.equal(silent, sample(StepCache().on(world(case)[1]), call, steps=4))
    assert relative(results[0] - silent, silent) > 0.005


class ForwardCache:
    """As TeaCache does for FLUX: stands for the network's own loop, and skips all blocks at every second call."""

    def __init__(self, original):
        self.original, self.calls, self.kept = original, 0, None

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls % 2:
            self.kept = self.original(*args, **kwargs)
        return self.kept

    @classmethod
    def on(cls, model):
        """What its node does."""
        clone = model.clone()
        name = "diffusion_model.forward_orig"
        clone.add_object_patch(name, cls(clone.get_model_object(name)))
        return clone


@FLUX
def test_dit_with_a_cache_inside_the_network(case):
    """The image is that of the adapter, where blocks ran; the model is as it was afterwards."""
    call = some_call(world(case)[0])
    before = predict(world(case)[1], call)
    first, second = (sample(model, call, steps=4) for model in both_orders(case, ForwardCache.on))
    assert torch.equal(first, second)
    silent = sample(ForwardCache.on(world(case)[1]), call, steps=4)
    assert relative(first - silent, silent) > 0.005
    assert torch.equal(predict(world(case)[1], call), before)


MIXING = noise(256, 256, seed=21) / 16


def attended(picture):
    """What an identity adapter would add to an image's tokens."""
    return 0.3 * torch.tanh(linear(picture, MIXING))


class Identity:
    """As PuLID does: adds cross-attention to the image's tokens behind a double block."""

    def __call__(self, args, extra):
        out = extra["original_block"](args)
        return out | {"img": out["img"] + attended(out["img"])}

    @classmethod
    def on(cls, model):
        """What its node does."""
        clone = model.clone()
        for number in range(2):
            clone.set_model_patch_replace(cls(), "dit", "double_block", number)
        return clone


@FLUX
def test_dit_with_an_identity_adapter(case):
    """In either order what a network computes whose blocks add the identity themselves."""
    call = some_call(world(case)[0])
    first, second = (predict(model, call) for model in both_orders(case, Identity.on))
    assert torch.equal(first, second)
    blocks = world(case)[1].model.diffusion_model.double_blocks
    hooks = [block.register_forward_hook(lambda _, args, out: (out[0] + attended(out[0]), out[1])) for block in blocks]
    try:
        inside, plain = predict(patched(case, world(case)[1]), call), predict(world(case)[1], call)
    finally:
        for hook in hooks:
            hook.remove()
    assert relative(first - inside, inside - plain) < LIMIT
    assert relative(inside - plain, plain) > 0.02


def guided(model):
    """ComfyUI's own Normalized Attention Guidance."""
    return NAGuidance.execute(model, 5.0, 0.5, 1.5)[0]


@FLUX
def test_dit_with_attention_guidance(case):
    """In either order the same; guidance acts on text's attention, and ours is added to what it leaves."""
    call = some_call(world(case)[0])
    first, second = (predict(model, call) for model in both_orders(case, guided))
    assert torch.equal(first, second)
    plain = predict(guided(world(case)[1]), call)
    assert relative(first - plain, plain) > 0.02
    assert relative(plain - predict(world(case)[1], call), plain) > 0.02
    assert torch.equal(predict(guided(patched(case, world(case)[1], 0.0)), call), plain)

    (guide,) = guided(world(case)[1]).model_options["transformer_options"]["patches"]["attn1_output_patch"]
    text = call.arguments["context"].shape[1]

    def inside(function, *args, **kwargs):
        """The same guidance as a part of the attention itself, so before whatever is added to it."""
        out = function(*args, **kwargs)
        return guide(out, {"cond_or_uncond": [1, 0], "img_slice": [text, out.shape[1]]})

    wanted = predict(patched(case, world(case)[1]), call, optimized_attention_override=inside)
    assert relative(first - wanted, wanted - plain) < LIMIT


def lora_for(network, rank=4):
    """Low-rank changes of every weight of the blocks, by their own names."""
    weights = {}
    for name, parameter in network.named_parameters():
        if parameter.ndim == 2 and "block" in name:
            key = f"diffusion_model.{name.removesuffix('.weight')}"
            weights[f"{key}.lora_down.weight"] = noise(rank, parameter.shape[1], seed=len(weights)) * 0.05
            weights[f"{key}.lora_up.weight"] = noise(parameter.shape[0], rank, seed=len(weights)) * 0.05
    return weights


@every
def test_dit_with_a_lora(case):
    """In either order what a model computes into whose weights it is merged."""
    name, model, *_ = world(case)
    call, weights = some_call(name), lora_for(world(case)[1].model.diffusion_model)
    keys = comfy.lora.model_lora_keys_unet(model.model, {})

    def with_lora(given):
        clone = given.clone()
        assert len(clone.add_patches(comfy.lora.load_lora(weights, keys), 1.0)) == len(weights) // 2
        return clone

    first, second = (predict(one, call) for one in both_orders(case, with_lora))
    assert relative(first - second, first) < 1e-6
    merged = tiny_transformer(name)
    with torch.no_grad():
        for key, parameter in merged.model.diffusion_model.named_parameters():
            down = weights.get(f"diffusion_model.{key.removesuffix('.weight')}.lora_down.weight")
            if down is not None:
                parameter += weights[f"diffusion_model.{key.removesuffix('.weight')}.lora_up.weight"] @ down
    wanted, plain = predict(patched(case, merged), call), predict(merged, call)
    assert relative(first - wanted, wanted - plain) < 2e-5
