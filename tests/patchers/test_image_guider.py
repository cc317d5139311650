"""Guidance by text and image: each pass by an independent computation, the sums to the bit, and the passes that are run."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.image_guider import ImageGuider
from pack.ipadapter_core.patchers.scale_applied import scale_applied
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.image_guiders import NEGATIVE, POSITIVE, ours, two_references
from pack.tests.oracles.recorded_passes import (
    Recorder,
    alone,
    guide,
    naive_hooks,
    noise,
    picture,
    prompt_of,
    short_adapter,
    short_model,
)
from pack.tests.oracles.three_passes import IMAGE_FIRST, ORDERS, TEXT_FIRST, ThreeCalls
from pack.tools.miniature.transformers import relative

import comfy.samplers

pytestmark = pytest.mark.engine

BOTH, NEITHER = (0, 1), (1, 0)  # of POSITIVE and NEGATIVE the text, and whether it sees the reference
IMAGE, TEXT = (1, 1), (0, 0)


@pytest.fixture(scope="module")
def pair():
    """A model and an adapter."""
    model = short_model()
    return model, short_adapter(model)


def cfg(model, scale):
    """ComfyUI's own guider."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(POSITIVE, NEGATIVE)
    guider.set_cfg(scale)
    return guider


def apart(monkeypatch):
    """Each pass in a model call of its own."""
    monkeypatch.setattr(comfy.samplers, "can_concat_cond", lambda one, other: one is other)


class Noted(ImageGuider):
    """Keeps what came in and went out."""

    def predict_noise(self, x, *args, **kwargs):
        self.latent, self.found = x, super().predict_noise(x, *args, **kwargs)
        return self.found


@pytest.mark.parametrize("order", ORDERS)
def test_each_pass_and_the_sum_by_an_independent_computation(pair, order):
    """The bare UNet under naive layers, for a text and a side of the reference each."""
    model, adapter = pair
    recorder = Recorder(apply_image_prompt(model, adapter, prompt_of(picture(2)), Strength()))
    guider = ours(recorder.model, (7.0, 5.0), order, kind=Noted)
    guide(guider, steps=1)
    one = recorder.passes[0]
    sides = [naive_hooks(model, adapter, features) for features in (picture(2).features, picture(2).negative)]

    def denoised(text, side):
        context = (POSITIVE, NEGATIVE)[text][0][0]
        return guider.latent - sigma * alone(model, one._replace(context=context), sides[side])

    sigma = model.get_model_object("model_sampling").sigma_max
    both, uncond = denoised(0, 0), denoised(1, 1)
    if order == IMAGE_FIRST:
        image = denoised(1, 0)
        wanted = uncond + 5 * (image - uncond) + 7 * (both - image)
    else:
        text = denoised(0, 1)
        wanted = uncond + 7 * (text - uncond) + 5 * (both - text)
    assert len(recorder.passes) == 3
    assert relative(guider.found - wanted, wanted - guider.latent) < 3e-6


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scales", [(4.0, 2.0), (2.0, 4.0), (3.0, 1.0), (1.0, 3.0), (3.0, 0.0), (0.0, 3.0)], ids=str)
def test_the_sums_to_the_bit(pair, order, scales, monkeypatch):
    """With several references and masks, where each pass is a model call of its own; and together with the others."""
    model, adapter = pair
    patched = two_references(model, adapter)
    together = guide(ours(patched, scales, order), latent=noise(2))
    apart(monkeypatch)
    wanted = guide(ThreeCalls(patched, POSITIVE, NEGATIVE, *scales, order), latent=noise(2))
    found = guide(ours(patched, scales, order), latent=noise(2))
    effect = wanted - guide(cfg(model, 1.0), latent=noise(2))
    assert relative(together - wanted, effect) < 2e-5 and relative(found - wanted, effect) < 1e-6
    if 0.0 not in scales and 1.0 not in scales:
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("scale", "passes"), [(3.0, 2), (1.0, 1)])
def test_alike_scales_are_ordinary_guidance(pair, order, scale, passes):
    """To the bit, in as many passes."""
    model, adapter = pair
    recorder = Recorder(two_references(model, adapter))
    found = guide(ours(recorder.model, (scale, scale), order), steps=1)
    assert len(recorder.passes) == passes
    assert torch.equal(found, guide(cfg(recorder.model, scale), steps=1))


@pytest.mark.parametrize(
    ("order", "scales", "passes"),
    [
        (IMAGE_FIRST, (7.0, 5.0), {BOTH, NEITHER, IMAGE}),
        (IMAGE_FIRST, (7.0, 1.0), {BOTH, IMAGE}),
        (IMAGE_FIRST, (0.0, 5.0), {NEITHER, IMAGE}),
        (IMAGE_FIRST, (0.0, 1.0), {IMAGE}),
        (IMAGE_FIRST, (1.0, 0.0), {BOTH, NEITHER, IMAGE}),
        (TEXT_FIRST, (7.0, 5.0), {BOTH, NEITHER, TEXT}),
        (TEXT_FIRST, (1.0, 5.0), {BOTH, TEXT}),
        (TEXT_FIRST, (7.0, 0.0), {NEITHER, TEXT}),
        (TEXT_FIRST, (1.0, 0.0), {TEXT}),
    ],
    ids=str,
)
def test_passes_that_a_scale_makes_needless_are_not_run(pair, order, scales, passes):
    """Each pass is known by its text, and by what a reference does to it; where other packs ask for all, all are run."""
    model, adapter = pair
    patched = apply_image_prompt(model, adapter, prompt_of(picture(2)), Strength())
    recorder = Recorder(patched)
    guide(ours(recorder.model, scales, order), steps=1)
    sides = [naive_hooks(model, adapter, features) for features in (picture(2).negative, picture(2).features)]
    found = {_kind(model, one, sides) for one in recorder.passes}
    assert found == passes and len(recorder.passes) == len(passes)
    recorder.passes.clear()
    recorder.model.model_options["disable_cfg1_optimization"] = True
    guide(ours(recorder.model, scales, order), steps=1)
    assert len(recorder.passes) == 3


def _kind(model, one, sides):
    text = next(place for place, given in enumerate((POSITIVE, NEGATIVE)) if torch.equal(one.context, given[0][0]))
    errors = [relative(alone(model, one, hooks) - one.output, one.output) for hooks in sides]
    side = errors.index(min(errors))
    assert errors[side] < 1e-5 < 1e-3 < errors[1 - side]
    return text, side


@pytest.mark.parametrize("order", ORDERS)
def test_without_image_prompts_the_text_alone_counts(pair, order):
    """To the bit as ComfyUI's own guider; also where they were taken out again."""
    model, adapter = pair
    wanted = guide(cfg(model, 3.0))
    for bare in (model, scale_applied(two_references(model, adapter), 0.0).model):
        assert torch.equal(guide(ours(bare, (3.0, 9.0), order)), wanted)


def test_image_scale_0_leaves_nothing_of_the_reference(pair):
    """'Text, then image' at 0: another image with the same negative gives the same, to the bit."""
    model, adapter = pair
    results = []
    for seed in (2, 3):
        image = prompt_of(picture(seed)).references[0].image
        prompt = prompt_of(type(image)(image.features, picture(9).negative))
        patched = apply_image_prompt(model, adapter, prompt, Strength())
        results += [guide(ours(patched, (4.0, 0.0), TEXT_FIRST)), guide(ours(patched, (4.0, 0.5), TEXT_FIRST))]
    assert torch.equal(results[0], results[2]) and relative(results[1] - results[3], results[1]) > 1e-3
