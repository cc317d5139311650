"""InstantCharacter on FLUX.1 and Chroma against its published equations, stated in float64 inside ComfyUI's own models."""

import pickle

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from pack.ipadapter_core.diagnostics.attention_maps import attention_maps
from pack.ipadapter_core.diagnostics.record import record_attention
from pack.ipadapter_core.diagnostics.recording import Measure
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.timed_tokens import gain_ratio
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.prompt.features import each
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_blocks import WEIGHT, Nothing, state_flux
from pack.tests.oracles.transformer_world import mask_of, sample
from pack.tools.miniature.instant_character import (
    FEATURE,
    character_features,
    character_weights,
    instant_character,
    nested,
    stated_layer,
    stated_reference,
    stated_tokens,
)
from pack.tools.miniature.transformers import adapter, predict, prompt_for, relative, some_call, tiny_transformer

pytestmark = [pytest.mark.adapters, pytest.mark.dit]

LIMIT, EXACT = 5e-6, 1e-9
WEIGHTS = character_weights(instant_character(5, 256))


class Published:
    """Added to attention before its projection, with the query as it is before the model's own norm."""

    def __init__(self, features, timestep):
        self.tokens = stated_tokens(WEIGHTS, features, timestep)

    def inside(self, number, query, raw):
        return WEIGHT * stated_layer(WEIGHTS, number, self.tokens, raw)

    def after(self, number, query):
        return 0


@pytest.mark.parametrize("negative", ["the reference", "another image"])
@pytest.mark.parametrize("name", ["FLUX", "Chroma"])
def test_instant_character_equals_the_published_equations(name, negative, capsys):
    """Double and single blocks, a positive and a negative pass in one batch, in the file's own nested layout."""
    ip_adapter, features = adapter(nested(WEIGHTS)), character_features(8)
    against = features if negative == "the reference" else character_features(9)
    model, call = tiny_transformer(name), some_call(name)
    ours_plain = predict(model, call)
    prompt = prompt_for(ip_adapter, features, negative=against)
    ours = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(WEIGHT)), call, (0, 1))
    assert torch.equal(predict(model, call), ours_plain), "the model that went in has changed"
    network = model.model.diffusion_model
    state_flux(network, Nothing())
    plain = predict(model, call)
    state_flux(
        network, Published(each(lambda one, other: torch.cat((one, other)), features, against), call.sigma * 1000)
    )
    wanted = predict(model, call)
    effect, error = relative(wanted - plain, plain), relative(ours - wanted, wanted - plain)
    with capsys.disabled():
        print(f"\n  InstantCharacter {name}, negative {negative:14} effect {effect:.2f}  error {error:.1e}")
    assert effect > 0.05
    assert error <= LIMIT


@torch.no_grad()
def test_the_blocks_equal_diffusers_own():
    """What does not depend on the step, with diffusers' blocks, in float64."""
    ip_adapter, features = adapter(nested(WEIGHTS)), tuple(one.double() for one in character_features(8))
    projector = ip_adapter.network.image_proj.double()
    deep, shallow, closer = features
    found = {"layer": deep, "scale": deep}
    for kind, source in (("layer", shallow), ("scale", closer)):
        for ours in getattr(projector, f"cross_{kind}_blocks"):
            sizes = {"num_attention_heads": FEATURE // 64, "attention_head_dim": 64, "cross_attention_dim": FEATURE}
            block = BasicTransformerBlock(FEATURE, **sizes, activation_fn="geglu", norm_eps=1e-6).double()
            block.load_state_dict(ours.state_dict())
            found[kind] = block(found[kind], encoder_hidden_states=source)
    across = projector.proj(deep) + projector.proj_cross_scale(found["scale"])
    wanted = torch.cat((across, projector.proj_cross_layer(found["layer"])), dim=1)
    assert relative(projector.reference(features) - wanted, wanted) < EXACT
    assert relative(stated_reference(WEIGHTS, features) - wanted, wanted) < EXACT


def test_a_reference_is_read_once_and_resampled_once_a_step(monkeypatch):
    """Another weight needs no second reading; what stays loaded are the resampler and the layers, not the blocks before."""
    model, call = tiny_transformer("FLUX"), some_call("FLUX")
    ip_adapter, features = adapter(nested(WEIGHTS)), character_features(8)
    prompt = prompt_for(ip_adapter, features, negative=features)
    projector, read, times = type(ip_adapter.network.image_proj), [], []
    resampler = type(ip_adapter.network.image_proj.resampler)
    reference, forward = projector.reference, resampler.forward
    monkeypatch.setattr(projector, "reference", lambda self, given: (read.append(1), reference(self, given))[1])
    monkeypatch.setattr(
        resampler, "forward", lambda self, one, t: (times.append((len(one), float(t))), forward(self, one, t))[1]
    )
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0))
    other = apply_image_prompt(model, ip_adapter, prompt, Strength(0.5))
    assert len(read) == 1, "the negative is the reference itself"
    sample(patched, call, steps=3)
    assert [count for count, _ in times] == [1, 1, 1] and len({time for _, time in times}) == 3
    (application,) = applications_of(patched.model_options["transformer_options"])
    (loaded,) = application.models()
    assert applications_of(other.model_options["transformer_options"])[0].models() == [loaded]
    kept = {key for key, _ in loaded.model.named_parameters()}
    assert kept == {
        key.replace("image_proj.resampler.", "image_proj.")
        for key in WEIGHTS
        if "image_proj.cross" not in key and "image_proj.proj" not in key
    }


def test_channels_with_a_gain_of_nearly_nothing(capsys):
    """They bring nothing to the attention, as in the model's own norm, and nothing that is not finite."""
    model, call = tiny_transformer("FLUX"), some_call("FLUX")
    ip_adapter, features = adapter(nested(WEIGHTS)), character_features(8)
    dead = [(3, 0.0), (70, 1e-12), (100, -1e-30)]
    with torch.no_grad():
        for block in model.model.diffusion_model.single_blocks:
            for channel, gain in dead:
                block.norm.query_norm.weight[channel] = gain
    patched = apply_image_prompt(model, ip_adapter, prompt_for(ip_adapter, features), Strength(1.0))
    assert torch.isfinite(predict(patched, call)).all()
    had = torch.tensor([1.0, 0.0, 1e-12, -2.0])
    assert gain_ratio(had, torch.full((4,), 3.0), had).tolist() == [3.0, 0.0, 0.0, -1.5]


def test_references_of_their_own_weights_and_masks_by_frame():
    """Half the weight on two references is both at half; a reference for each image of a batch is each alone."""
    model, call = tiny_transformer("FLUX"), some_call("FLUX", batch=4)
    ip_adapter = adapter(nested(WEIGHTS))
    pair = prompt_for(ip_adapter, character_features(8), character_features(9))
    plain = predict(model, call)
    each_own = predict(apply_image_prompt(model, ip_adapter, pair, Strength(1.0), per_frame=True), call)
    for image, reference in enumerate(pair.references):
        alone = apply_image_prompt(model, ip_adapter, pair.with_references((reference,)), Strength(1.0))
        wanted = predict(alone, call)[image::2]
        assert relative(each_own[image::2] - wanted, wanted - plain[image::2]) < 2e-5
    halves = apply_image_prompt(model, ip_adapter, pair, Strength(1.0), mask_of(0.0, 1.0))
    assert relative(predict(halves, call) - plain, plain) > 0.02


def test_attention_maps_are_the_softmax_over_this_steps_tokens():
    """Two references share the attention, one of them masked away has none; the run itself is the same to the bit."""
    model, call = tiny_transformer("FLUX"), some_call("FLUX")
    ip_adapter = adapter(nested(WEIGHTS))
    pair = prompt_for(ip_adapter, character_features(8), character_features(9))
    patched = apply_image_prompt(model, ip_adapter, pair, Strength(1.0))
    watched, recording = record_attention(patched)
    assert torch.equal(sample(watched, call), sample(patched, call))
    shares = attention_maps(recording, Measure.SHARE, (8, 6))
    assert len(shares) == 2 and relative(sum(shares) - 1, torch.ones(1, 8, 6)) < 1e-5
    half = record_attention(apply_image_prompt(model, ip_adapter, pair, Strength(1.0), mask_of(1.0, 0.0)))
    sample(half[0], call)
    masked = attention_maps(half[1], Measure.CONTRIBUTION, (8, 6))
    assert not masked[..., 4:].any() and bool((masked[..., :2] > 0).all())


def test_weights_in_bfloat16():
    """As they are published: to the bit what the same numbers in float32 give; what stays loaded is in the file's own dtype."""
    halved = {key: one.bfloat16() for key, one in WEIGHTS.items()}
    model, call, found = tiny_transformer("FLUX"), some_call("FLUX"), []
    for dtype in (torch.float32, torch.bfloat16):
        ip_adapter = adapter(nested({key: one.to(dtype) for key, one in halved.items()}))
        prompt = prompt_for(ip_adapter, character_features(8))
        found.append(predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call))
        assert {one.dtype for one in ip_adapter.stepping.model.parameters()} == {dtype}
    assert torch.equal(*found) and not torch.equal(found[0], predict(model, call))


def test_an_adapter_travels_without_what_it_remembers():
    """A pickled one gives the same prediction, and its stepping part is made of its own layers."""
    model, call = tiny_transformer("FLUX"), some_call("FLUX")
    ip_adapter, features = adapter(nested(WEIGHTS)), character_features(8)
    prompt = prompt_for(ip_adapter, features)
    wanted = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call)
    copied = pickle.loads(pickle.dumps(ip_adapter))
    assert torch.equal(predict(apply_image_prompt(model, copied, prompt, Strength(1.0)), call), wanted)
    assert copied.stepping.model.layer_at(0) is copied.network.layer_at(0)
