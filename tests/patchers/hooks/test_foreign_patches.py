"""Other packs' patches at the same layers, before ours and after ours: the result is theirs plus our part."""

import pytest
import torch
from pack.ipadapter_core.patchers.families.unet import ImageCrossAttention, layer_map
from pack.ipadapter_core.patchers.hooks.wrappers import NAME
from pack.tests.oracles.recorded_passes import (
    Recorder,
    alone,
    attend,
    error,
    naive_hooks,
    patched,
    picture,
    sample,
    short_adapter,
    short_model,
    text,
)

pytestmark = pytest.mark.engine

PICTURE = picture(2)
BOUND = 3e-6


def softened(query, key, value, options):
    """Stands for any replacement of cross-attention: half of the usual answer, with a blurred query."""
    return 0.5 * attend(query * 0.7, key, value, options["n_heads"])


class Stack:
    """The calling convention of packs that keep a list of callbacks in one object and add to whatever they find."""

    def __init__(self, callback):
        self.callbacks = [callback]

    def add(self, callback):
        """Adds in place, shared or not."""
        self.callbacks.append(callback)

    def __call__(self, query, key, value, options):
        out = attend(query, key, value, options["n_heads"])
        for callback in self.callbacks:
            out = out + callback(query, key, value, options)
        return out


def blocks_of(model, depth: bool):
    blocks = [layer.block for layer in layer_map(model.model.diffusion_model)]
    return blocks if depth else [block[:2] for block in blocks]


def replaced(model, foreign, depth: bool):
    """A clone on which a pack has put a replacement at every layer, under keys with or without the depth."""
    clone = model.clone()
    for block in blocks_of(model, depth):
        clone.set_model_attn2_replace(foreign, *block)
    return clone


def stacked_on(model, callback):
    """A clone to which a pack with the `.add` convention has applied itself."""
    clone = model.clone()
    options = clone.model_options["transformer_options"]
    for block in blocks_of(model, True):
        found = options.get("patches_replace", {}).get("attn2", {}).get(block)
        if found is None:
            clone.set_model_attn2_replace(Stack(callback), *block)
            options = clone.model_options["transformer_options"]
        else:
            found.add(callback)
    return clone


def check(base, adapter, model, foreign=None, **options):
    """Every pass is the bare UNet's under `foreign` plus our part."""
    recorder = Recorder(model)
    sample(recorder.model, steps=1)
    for one, features in zip(recorder.passes, (PICTURE.negative, PICTURE.features), strict=True):
        hooks = naive_hooks(base, adapter, features, base=foreign)
        assert error(one.output, alone(base, one, hooks, **options)) < BOUND


@pytest.fixture
def world():
    model = short_model()
    return model, short_adapter(model)


@pytest.mark.parametrize("depth", [True, False], ids=["three-part key", "two-part key"])
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_foreign_replacement(world, depth, first):
    base, adapter = world
    if first == "theirs":
        model = patched(replaced(base, softened, depth), adapter, PICTURE)
    else:
        model = replaced(patched(base, adapter, PICTURE), softened, depth)
    check(base, adapter, model, softened)


def test_foreign_replacement_between_two_of_ours(world):
    """Ours, theirs, ours."""
    base, adapter = world
    model = patched(replaced(patched(base, adapter, PICTURE), softened, True), adapter, PICTURE)
    recorder = Recorder(model)
    sample(recorder.model, steps=1)
    one = recorder.passes[1]
    hooks = naive_hooks(base, adapter, PICTURE.features, 2.0, softened)
    assert error(one.output, alone(base, one, hooks)) < BOUND


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_foreign_stack_with_add(world, first):
    """Their `.add` reaches their own objects only."""
    base, adapter = world

    def theirs(query, key, value, options):
        return 0.3 * value.mean(dim=1, keepdim=True)

    if first == "theirs":
        model = stacked_on(patched(stacked_on(base, theirs), adapter, PICTURE), theirs)
    else:
        model = stacked_on(stacked_on(patched(base, adapter, PICTURE), theirs), theirs)
    standing = model.model_options["transformer_options"]["patches_replace"]["attn2"].values()
    assert not any(isinstance(one, ImageCrossAttention) for one in standing)
    stack = Stack(theirs)
    stack.add(theirs)
    check(base, adapter, model, stack)


def test_foreign_replacement_for_a_single_call(world):
    """Other guidance patches the options of one extra call, anew at each step."""
    base, adapter = world
    recorder = Recorder(patched(base, adapter, PICTURE))
    strengths = iter([0.2, 0.6, 0.9])

    def post_cfg(given):
        import comfy.model_patcher
        import comfy.samplers

        strength = next(strengths)
        options = given["model_options"].copy()
        for block in blocks_of(base, True):
            options = comfy.model_patcher.set_model_options_patch_replace(
                options, lambda q, k, v, o: strength * attend(q, k, v, o["n_heads"]), "attn2", *block
            )
        comfy.samplers.calc_cond_batch(given["model"], [given["cond"]], given["input"], given["sigma"], options)
        return given["denoised"]

    recorder.model.set_model_sampler_post_cfg_function(post_cfg)
    sample(recorder.model, steps=3)
    for step, strength in enumerate((0.2, 0.6, 0.9)):
        one = recorder.passes[3 * step + 2]

        def foreign(query, key, value, options, strength=strength):
            return strength * attend(query, key, value, options["n_heads"])

        assert error(one.output, alone(base, one, naive_hooks(base, adapter, PICTURE.features, base=foreign))) < BOUND


class Couple:
    """Attention couple by attn2_patch: the positive pass three times, and the mean of the three afterwards.

    All three read the same prompt, so that the image has to be the one without it.
    """

    def __init__(self):
        self.rows = []

    def widen(self, query, context, value, options):
        """Repeats the positive passes in the batch."""
        chunks = len(options["cond_or_uncond"])
        parts = []
        for tensor in (query, context, value):
            pieces = tensor.chunk(chunks)
            repeats = [1 if index == 1 else 3 for index in options["cond_or_uncond"]]
            parts.append(torch.cat([piece for piece, times in zip(pieces, repeats, strict=True) for _ in range(times)]))
        self.rows.append(parts[0].shape[0])
        return tuple(parts)

    def narrow(self, out, options):
        """Takes the mean over the repeats."""
        pictures = out.shape[0] // sum(1 if index == 1 else 3 for index in options["cond_or_uncond"])
        pieces, place = [], 0
        for index in options["cond_or_uncond"]:
            times = 1 if index == 1 else 3
            group = out[place : place + times * pictures]
            pieces.append(group.unflatten(0, (times, pictures)).mean(dim=0))
            place += times * pictures
        return torch.cat(pieces)


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_foreign_patch_that_enlarges_the_batch(world, first):
    """Each repeat of a positive pass sees the reference."""
    base, adapter = world
    couple = Couple()

    def coupled(model):
        clone = model.clone()
        clone.set_model_attn2_patch(couple.widen)
        clone.set_model_attn2_output_patch(couple.narrow)
        return clone

    model = patched(coupled(base), adapter, PICTURE) if first == "theirs" else coupled(patched(base, adapter, PICTURE))
    check(base, adapter, model)
    assert set(couple.rows) == {4}


def test_attention_override_sees_the_base_attention_only(world):
    """SageAttention and the like get each base call and none over image tokens."""
    base, adapter = world
    seen = []

    def override(function, *args, **kwargs):
        seen.append(args[1].shape[1])
        return function(*args, **kwargs)

    model = patched(base, adapter, PICTURE)
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    check(base, adapter, model)
    layers = len(layer_map(base.model.diffusion_model))
    assert len(seen) == 2 * layers
    assert seen.count(text(0)[0][0].shape[1]) == layers and 4 not in seen


def test_an_override_that_keeps_what_it_returned(world):
    """What a pack returned to us is not changed in place."""
    base, adapter = world
    kept = []

    def override(function, *args, **kwargs):
        out = function(*args, **kwargs)
        kept.append((out, out.clone()))
        return out

    model = patched(base, adapter, PICTURE)
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    sample(model, steps=1)
    assert kept and all(torch.equal(out, copy) for out, copy in kept)


def test_ours_rest_under_one_name(world):
    """At rest the options hold our name in `patches` and nothing else of ours."""
    base, adapter = world
    options = patched(base, adapter, PICTURE).model_options["transformer_options"]
    assert set(options) == {"patches"} and set(options["patches"]) == {NAME}
