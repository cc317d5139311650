"""Weights that change over the run, on a miniature model through ComfyUI's own sampler."""

import numpy
import pytest
import torch
from pack.ipadapter_core.errors import WeightError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.parsing import read_schedule
from pack.ipadapter_core.weights.schedule import SchedulePreset, WeightSchedule, preset_schedule, schedule_of_curve
from pack.tests.oracles.naive_layer import picture, prompt
from pack.tools.miniature.models import adapter_weights, managed, tiny_model, widths_of

import comfy.samplers
from comfy_api.latest._input.curve_types import LinearCurve, MonotoneCubicCurve

pytestmark = pytest.mark.engine

POINTS = ((0.0, 0.0), (0.3, 1.5), (0.3, 0.5), (0.7, 0.5), (0.9, 0.0))
STEPS = 6


@pytest.fixture(scope="module")
def stand():
    model = tiny_model()
    return model, managed(adapter_weights("base", widths_of(model), 96))


def guider(model):
    """CFG 3 between two seeded texts."""
    generator = torch.Generator().manual_seed(1)
    made = comfy.samplers.CFGGuider(model)
    made.set_conds(*([[torch.randn(1, 7, 96, generator=generator), {}]] for _ in range(2)))
    made.set_cfg(3.0)
    return made


def sample(model, noise, sigmas):
    """What the model saw and predicted at each step: (x, denoised)."""
    seen = []
    guider(model).sample(
        noise, torch.zeros_like(noise), comfy.samplers.sampler_object("euler"), sigmas, disable_pbar=True, seed=0,
        callback=lambda step, denoised, x, total: seen.append((x.clone(), denoised.clone())),
    )  # fmt: skip
    return seen


def predict(model, x, sigma):
    """One step from `x` on: noise is what makes the sampler begin there."""
    sampling = model.get_model_object("model_sampling")
    top = float(sigma) >= float(sampling.sigma_max) * (1 - 1e-5)
    noise = x / ((1 + sigma**2) ** 0.5 if top else sigma)
    return sample(model, noise, torch.stack((sigma, torch.zeros(()))))[0][1]


def percent_of(model, sigma):
    """Where in the run a noise level is: 1 - t / 999, t between the 1000 levels of training, in log sigma."""
    levels = numpy.log(model.get_model_object("model_sampling").sigmas.double().numpy())
    return 1 - float(numpy.interp(numpy.log(float(sigma)), levels, numpy.arange(1000))) / 999


def weight_at(percent, points=POINTS):
    """The curve, read from the right: the last point at or before a place decides with the next."""
    before = [index for index, (place, _) in enumerate(points) if place <= percent]
    if not before or before[-1] + 1 == len(points):
        return points[before[-1] if before else 0][1]
    (start, low), (end, high) = points[before[-1]], points[before[-1] + 1]
    return low + (high - low) * (percent - start) / (end - start)


def test_engine_schedule_at_every_step_of_a_run(stand):
    """Each step is the step of a constant weight 0.8 times the curve; where the curve is 0 it is no adapter, bit for bit."""
    model, adapter = stand
    schedule = WeightSchedule(POINTS)
    patched = apply_image_prompt(model, adapter, prompt(picture(2)), Strength(0.8, schedule=schedule))
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", STEPS)
    seen = sample(patched, torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3)), sigmas)
    assert len(seen) == STEPS
    weights = []
    for sigma, (x, denoised) in zip(sigmas, seen, strict=False):
        weight = weight_at(percent_of(model, sigma))
        weights.append(weight)
        plain = predict(model, x, sigma)
        whole = predict(apply_image_prompt(model, adapter, prompt(picture(2)), Strength(0.8)), x, sigma)
        constant = apply_image_prompt(model, adapter, prompt(picture(2)), Strength(0.8 * weight))
        effect = (whole - plain).norm()
        assert effect > 1e-4 * plain.norm()  # a thousand roundings of float32, so that a thousandth of it is to be seen
        assert (denoised - predict(constant, x, sigma)).norm() < 1e-3 * effect
        if weight == 0:
            nothing = predict(patched, x, sigma)
            assert torch.equal(nothing, plain)
    assert weights.count(0) >= 1 and len({round(weight, 3) for weight in weights}) >= 4


FORMULAS = {
    "constant": lambda x: 1.0,
    "ease in": lambda x: 3 * x**2 - 2 * x**3,
    "ease out": lambda x: 1 - 3 * x**2 + 2 * x**3,
    "ease in-out": lambda x: 12 * x**2 - 16 * x**3 if x <= 0.5 else 12 * (1 - x) ** 2 - 16 * (1 - x) ** 3,
    "late": lambda x: min(max((x - 0.4) / 0.2, 0.0), 1.0),
    "early": lambda x: min(max((0.6 - x) / 0.2, 0.0), 1.0),
}


@pytest.mark.parametrize("preset", list(SchedulePreset), ids=lambda preset: preset.value)
def test_engine_schedule_presets(preset):
    """Against their formulas, to the h^2 max|f''| / 8 of straight lines between 65 points."""
    schedule = preset_schedule(preset)
    for place in range(1001):
        assert abs(schedule.at(place / 1000) - FORMULAS[preset.value](place / 1000)) <= 24 / 64**2 / 8 + 1e-12


def test_engine_schedule_from_points_text():
    assert read_schedule("0:0, 0.5: 1\n1 :.3").points == ((0.0, 0.0), (0.5, 1.0), (1.0, 0.3))
    for text, word in (("0:0, half:1", "half"), ("0:0, 1.5:1", "1.5"), ("0:x", "'x'"), ("0 0", "0 0"), (",", "points"),
                       ("0.5:1, 0:0", "rising")):  # fmt: skip
        with pytest.raises(WeightError, match=word) as caught:
            read_schedule(text)
        assert "Weight Schedule" in str(caught.value)


@pytest.mark.parametrize("kind", [LinearCurve, MonotoneCubicCurve])
def test_engine_schedule_from_a_comfyui_curve(kind):
    """Straight lines exactly, cubics to half a percent."""
    curve = kind([(0.0, 0.2), (0.33, 1.0), (1.0, 0.0)])
    schedule = schedule_of_curve(curve.interp, [place for place, _ in curve.points])
    allowed = 1e-12 if kind is LinearCurve else 5e-3
    for place in range(1001):
        assert abs(schedule.at(place / 1000) - curve.interp(place / 1000)) < allowed
