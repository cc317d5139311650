"""What holds for every transformer family: no effect at weight 0, masks, references, windows, foreign patches, whole runs."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from pack.ipadapter_core.application import Strength
from pack.ipadapter_core.errors import ModelMismatchError
from pack.ipadapter_core.patchers import flux
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.sampling import STEP, CallState, applications_of
from pack.ipadapter_core.step import Run
from pack.ipadapter_core.timeline import Timeline
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.dit import (
    adapter,
    instantx_flux,
    instantx_sd3,
    lucifer,
    noise,
    predict,
    prompt_for,
    relative,
    some_call,
    tiny_transformer,
    weights_of,
    xlabs,
)

import comfy.sample
import comfy.samplers

CASES = {
    "FLUX XLabs": ("FLUX", xlabs(2, 256, 64), (48,)),
    "FLUX InstantX": ("FLUX", instantx_flux(5, 256, 64), (48,)),
    "Chroma InstantX": ("Chroma", instantx_flux(5, 256, 64), (48,)),
    "SD3.5 InstantX": ("SD3", instantx_sd3(3, 192), (9, 48)),
    "Anima LuciferTC": ("Anima", lucifer(3, 128), (9, 48)),
}
every = pytest.mark.parametrize("case", CASES)


@cache
def world(case):
    """A model, an adapter, and a prompt of one picture."""
    name, shapes, features = CASES[case]
    weights = {key: tensor * (0.2 if key.startswith("lora") else 1) for key, tensor in weights_of(shapes).items()}
    ip_adapter = adapter(weights)
    return name, tiny_transformer(name), ip_adapter, prompt_for(ip_adapter, noise(1, *features, seed=8))


def other_prompt(case, seed=11):
    return prompt_for(world(case)[2], noise(1, *CASES[case][2], seed=seed))


def mask_of(*sides):
    """A mask (1, 8, 6): a value for each half from left to right."""
    return torch.tensor(sides).repeat_interleave(3).expand(1, 8, 6).clone()


@every
def test_the_model_that_went_in_is_untouched_and_weight_0_is_no_adapter(case):
    """To the bit, before and after a patched clone has run."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)
    before = predict(model, call)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0))
    assert relative(predict(patched, call) - before, before) > 0.02
    assert torch.equal(predict(model, call), before)
    assert torch.equal(predict(apply_image_prompt(model, ip_adapter, prompt, Strength(0.0)), call), before)
    resting = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0, 0.0, 0.1))
    if not ip_adapter.lora:
        run = Run(timeline=Timeline(model.model.model_sampling.percent_to_sigma))
        late = call._replace(sigma=call.sigma * 0.01)
        assert torch.equal(predict(resting, late, run=run), predict(model, late))


@every
def test_masks(case):
    """Ones are no mask, zeros no adapter, halves of different applications add up, and half a mask acts on its half most."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)
    plain = predict(model, call)
    whole = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call)

    def masked(start, *sides):
        return apply_image_prompt(start, ip_adapter, prompt, Strength(1.0), mask_of(*sides))

    assert torch.equal(predict(masked(model, 1.0, 1.0), call), whole)
    assert torch.equal(predict(masked(model, 0.0, 0.0), call), plain)
    halves = predict(masked(masked(model, 1.0, 0.0), 0.0, 1.0), call)
    assert relative(halves - whole, whole - plain) < 2e-5
    half = predict(masked(model, 1.0, 0.0), call)
    assert relative(half - plain, whole - plain) > 0.05
    assert relative(half - whole, whole - plain) > 0.05


@every
def test_stacking_order_and_batches(case):
    """Two prompts in either order; a batch of two passes as two calls."""
    name, model, ip_adapter, prompt = world(case)
    call, second = some_call(name), other_prompt(case)

    def both(*given):
        patched = model
        for one, weight in given:
            patched = apply_image_prompt(patched, ip_adapter, one, Strength(weight))
        return patched

    given = (prompt, 0.7), (second, 0.4)
    forward, backward = predict(both(*given), call), predict(both(*reversed(given)), call)
    effect = forward - predict(model, call)
    assert relative(forward - backward, effect) < 2e-5
    single = [
        call._replace(
            latent=call.latent[i : i + 1],
            sigma=call.sigma[i : i + 1],
            arguments={key: value[i : i + 1] for key, value in call.arguments.items()},
        )
        for i in range(2)
    ]
    model_with = both(*given)
    loop = torch.cat([predict(model_with, one, (side,)) for one, side in zip(single, (1, 0), strict=True)])
    assert relative(forward - loop, effect) < 2e-5


@pytest.mark.parametrize("case", [case for case in CASES if case != "SD3.5 InstantX"])
def test_several_references_are_attended_to_together(case):
    """The same picture twice is that picture once. Not in SD3.5, where image tokens share a softmax with the picture's own."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)
    twice = prompt.with_references(prompt.references * 2)
    one = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call)
    two = predict(apply_image_prompt(model, ip_adapter, twice, Strength(1.0)), call)
    assert relative(two - one, one - predict(model, call)) < 2e-5


@every
def test_schedule_multiplies_the_weight(case):
    """A flat schedule of a half at weight 1 is weight a half."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)
    run = Run(timeline=Timeline(model.model.model_sampling.percent_to_sigma))
    scheduled = Strength(1.0, schedule=WeightSchedule(((0.0, 0.5),)))
    found = predict(apply_image_prompt(model, ip_adapter, prompt, scheduled), call, run=run)
    wanted = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(0.5)), call)
    assert relative(found - wanted, wanted - predict(model, call)) < 2e-5


@every
@pytest.mark.parametrize("size", [(7, 5), (10, 4)])
def test_any_size_takes_a_mask(case, size):
    """Odd sizes are padded to patches; the mask follows."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name, size=size)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0), mask_of(1.0, 0.0))
    left = (predict(patched, call) - predict(model, call)).abs().flatten(0, -2).mean(0)
    assert torch.isfinite(left).all()


def additions(case, kind, mask, references=6):
    """What one block's hook adds to 7 text tokens, a grid of 4 by 3 and some reference tokens, (1, L, D)."""
    _, model, ip_adapter, prompt = world(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0), mask)
    options = patched.model_options["transformer_options"] | {"cond_or_uncond": [0]}
    latent, sigma = noise(1, 4, 8, 6), torch.full((1,), 0.5)
    run, waiting = Run(), {}
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
    held = dict(options) | {flux.WAITING: waiting}
    options["patches"]["attn1_patch"][0](query, query, query, extra_options=held)
    out, multiplier = held.get(flux.ADDITION, waiting.get(flux.ADDITION))
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
    """The mask's grid is the picture's, whatever is appended to be edited; ones stay no mask."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)
    edited = call._replace(arguments=call.arguments | {"ref_latents": [noise(2, 4, 6, 4, seed=3)]})
    whole = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), edited)
    plain = predict(model, edited)
    halves = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0), mask_of(1.0, 0.0))
    halves = apply_image_prompt(halves, ip_adapter, prompt, Strength(1.0), mask_of(0.0, 1.0))
    assert relative(predict(halves, edited) - whole, whole - plain) < 2e-5
    assert relative(whole - plain, plain) > 0.02


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


def conditioning(call):
    extra = {"pooled_output": call.arguments["y"][:1]} if "y" in call.arguments else {}
    return [[call.arguments["context"][:1], extra | {"guidance": 3.5}]], [
        [call.arguments["context"][1:], extra | {"guidance": 3.5}]
    ]


def sample(model, call, steps=3, cfg=2.0):
    positive, negative = conditioning(call)
    latent = torch.zeros_like(call.latent[:1])
    return comfy.sample.sample(
        model,
        call.latent[:1].clone(),
        steps,
        cfg,
        "euler",
        "simple",
        positive,
        negative,
        latent,
        seed=1,
        disable_pbar=True,
    )


@every
def test_whole_runs(case):
    """ComfyUI's own sampler: weight 0 is no adapter, the same run is the same picture, nothing is left behind."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)
    before = sample(model, call)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0))
    one = sample(patched, call)
    assert relative(one - before, before) > 0.005
    assert torch.equal(sample(patched, call), one)
    assert torch.equal(sample(model, call), before)
    assert torch.equal(sample(apply_image_prompt(model, ip_adapter, prompt, Strength(0.0)), call), before)
    distilled = sample(patched, call, cfg=1.0)
    assert torch.isfinite(distilled).all()
    assert all(not application._placed for application in applications_of(patched.model_options["transformer_options"]))


def test_the_resampler_runs_once_a_timestep(monkeypatch):
    """Positive and negative in calls of their own share it."""
    name, model, ip_adapter, prompt = world("SD3.5 InstantX")
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0))
    times = []
    whole = type(ip_adapter.network.image_proj).forward
    monkeypatch.setattr(
        type(ip_adapter.network.image_proj),
        "forward",
        lambda self, f, t: (times.append(float(t)), whole(self, f, t))[1],
    )
    monkeypatch.setattr(comfy.samplers, "can_concat_cond", lambda one, other: one is other)
    sample(patched, some_call(name), steps=3)
    assert len(times) == len(set(times)) == 3
    assert applications_of(patched.model_options["transformer_options"])[0].models() == [ip_adapter.patcher]


@pytest.mark.parametrize(
    ("case", "model", "message"),
    [
        ("FLUX XLabs", ("SD3", {}), "for FLUX.1, but the model is SD3"),
        ("FLUX InstantX", ("FLUX", {"depth_single_blocks": 2}), "2 double and 2 single blocks"),
        ("SD3.5 InstantX", ("FLUX", {}), "for SD3.5 Large, but the model is Flux"),
        ("Anima LuciferTC", ("Anima", {"num_blocks": 2}), "2 blocks of width 128"),
    ],
)
def test_models_that_do_not_fit(case, model, message):
    """Found, expected, and what to change."""
    _, _, ip_adapter, prompt = world(case)
    with pytest.raises(ModelMismatchError, match=message):
        apply_image_prompt(tiny_transformer(model[0], **model[1]), ip_adapter, prompt, Strength(1.0))


@pytest.mark.parametrize("name", ["Flux2", "WAN21", "QwenImage", "Lumina2", "Krea2", "WAN22_S2V"])
def test_models_without_weights(name):
    """One sentence that says so, and what ComfyUI has instead."""
    _, model, ip_adapter, prompt = world("FLUX XLabs")
    kind = type(name, (type(model.model),), {})
    other = model.clone()
    other.model = object.__new__(kind)
    other.model.__dict__.update(model.model.__dict__)
    with pytest.raises(
        ModelMismatchError, match=f"the model is {name}, for which nobody has published .*: use .* instead"
    ):
        apply_image_prompt(other, ip_adapter, prompt, Strength(1.0))


def test_a_reference_of_weight_0_is_not_there():
    """As if it had not been given."""
    name, model, ip_adapter, prompt = world("FLUX XLabs")
    call = some_call(name)
    muted = replace(other_prompt("FLUX XLabs").references[0], weight=0.0)
    found = predict(
        apply_image_prompt(model, ip_adapter, prompt.with_references((*prompt.references, muted)), Strength(1.0)), call
    )
    assert torch.equal(found, predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call))
