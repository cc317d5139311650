"""What holds for every family of `tests/oracles/families.py`: weight 0, branches, references, masks, schedules, whole runs."""

from dataclasses import replace

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import NAME, applications_of
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.sampling.timeline import Timeline
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.oracles.families import FAMILIES, call_of, every_family, other_prompt, world
from pack.tests.oracles.transformer_world import mask_of, sample
from pack.tools.miniature.transformers import predict, relative

import comfy.samplers

pytestmark = [pytest.mark.engine, pytest.mark.dit]


@every_family
def test_the_model_that_went_in_is_untouched_and_weight_0_is_no_adapter(case):
    """To the bit, before and after a patched clone has run."""
    _, model, ip_adapter, prompt = world(case)
    call = call_of(case)
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


@every_family
def test_stacking_order_and_batches(case):
    """Two prompts in either order; a batch of two passes as two calls."""
    _, model, ip_adapter, prompt = world(case)
    call, second = call_of(case), other_prompt(case)

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


@every_family
def test_branches_do_not_mix(case):
    """Plain, two prompts, and both on one another: each is to the bit what it is alone, whatever ran before it."""
    _, model, ip_adapter, prompt = world(case)
    call, second = call_of(case), other_prompt(case)
    first = apply_image_prompt(model, ip_adapter, prompt, Strength(0.7))
    other = apply_image_prompt(model, ip_adapter, second, Strength(0.4))
    branches = [model, first, other, apply_image_prompt(first.clone(), ip_adapter, second, Strength(0.4))]
    assert [len(applications_of(one.model_options["transformer_options"])) for one in branches] == [0, 1, 1, 2]
    assert all(len(named[NAME]) == 1 for one in branches[1:] for named in one.wrappers.values())
    alone = [predict(branch, call) for branch in branches]
    assert not any(torch.equal(alone[3], one) for one in alone[:3])
    for index in (1, 3, 0, 2, 3, 1):
        assert torch.equal(predict(branches[index], call), alone[index])


@pytest.mark.parametrize("case", [case for case in FAMILIES if case != "SD3.5 InstantX" and "UNet PuLID" not in case])
def test_several_references_are_attended_to_together(case):
    """The same image twice is that image once. Not in SD3.5, where image tokens share a softmax with the image's own, nor in
    PuLID for SDXL, where they share one with zeros and further images are read with the first.
    """
    _, model, ip_adapter, prompt = world(case)
    call = call_of(case)
    twice = prompt.with_references(prompt.references * 2)
    one = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call)
    two = predict(apply_image_prompt(model, ip_adapter, twice, Strength(1.0)), call)
    assert relative(two - one, one - predict(model, call)) < 2e-5


@every_family
def test_a_reference_of_weight_0_is_not_there(case):
    """As if it had not been given."""
    _, model, ip_adapter, prompt = world(case)
    call = call_of(case)
    muted = replace(other_prompt(case).references[0], weight=0.0)
    both = prompt.with_references((*prompt.references, muted))
    found = predict(apply_image_prompt(model, ip_adapter, both, Strength(1.0)), call)
    assert torch.equal(found, predict(apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)), call))


@every_family
@pytest.mark.parametrize("size", [(8, 6), (7, 5), (10, 4)], ids=str)
def test_masks_at_any_size(case, size):
    """Of ones it is no mask, of zeros no adapter, to the bit; two that complete one another add up; a half is neither."""
    _, model, ip_adapter, prompt = world(case)
    call = call_of(case, size)
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


@every_family
def test_schedule_multiplies_the_weight(case):
    """A flat schedule of a half at weight 1 is weight a half."""
    _, model, ip_adapter, prompt = world(case)
    call = call_of(case)
    run = Run(timeline=Timeline(model.model.model_sampling.percent_to_sigma))
    scheduled = Strength(1.0, schedule=WeightSchedule(((0.0, 0.5),)))
    found = predict(apply_image_prompt(model, ip_adapter, prompt, scheduled), call, run=run)
    wanted = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(0.5)), call)
    assert relative(found - wanted, wanted - predict(model, call)) < 2e-5


@every_family
def test_whole_runs(case):
    """ComfyUI's own sampler: weight 0 is no adapter, the same run is the same image, nothing is left behind."""
    _, model, ip_adapter, prompt = world(case)
    call = call_of(case)
    before = sample(model, call)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0))
    one = sample(patched, call)
    assert relative(one - before, before) > 0.005
    assert torch.equal(sample(patched, call), one)
    assert torch.equal(sample(model, call), before)
    assert torch.equal(sample(apply_image_prompt(model, ip_adapter, prompt, Strength(0.0)), call), before)
    distilled = sample(patched, call, cfg=1.0)
    assert torch.isfinite(distilled).all()
    assert all(
        not application.cache.held() for application in applications_of(patched.model_options["transformer_options"])
    )


def test_the_resampler_runs_once_a_timestep(monkeypatch):
    """Positive and negative in calls of their own share it."""
    case = "SD3.5 InstantX"
    _, model, ip_adapter, prompt = world(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(1.0))
    times = []
    whole = type(ip_adapter.network.image_proj).forward
    monkeypatch.setattr(
        type(ip_adapter.network.image_proj),
        "forward",
        lambda self, f, t: (times.append(float(t)), whole(self, f, t))[1],
    )
    monkeypatch.setattr(comfy.samplers, "can_concat_cond", lambda one, other: one is other)
    sample(patched, call_of(case), steps=3)
    assert len(times) == len(set(times)) == 3
    assert applications_of(patched.model_options["transformer_options"])[0].models() == [ip_adapter.patcher]
