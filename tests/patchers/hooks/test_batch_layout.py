"""Whose text a pass has, where a reference belongs to words: calls for one side, calls that do not say, parts of a batch."""

import pytest
from pack.ipadapter_core.errors import SamplingError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.prompt.combine import combine
from pack.ipadapter_core.prompt.words import bind_words
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.recorded_passes import (
    guide,
    noise,
    picture,
    prompt_of,
    sample,
    short_adapter,
    short_model,
    text,
)
from pack.tests.oracles.split_batches import RowSplit
from pack.tests.oracles.words import CAT, DOG, told
from pack.tools.miniature.transformers import relative

import comfy.samplers

pytestmark = pytest.mark.engine

OTHER = text(1)


@pytest.fixture(scope="module")
def pair():
    """A model and an adapter."""
    model = short_model()
    return model, short_adapter(model)


def bound(seed, words):
    return bind_words(prompt_of(picture(seed)), words)


class ApartGuider(comfy.samplers.CFGGuider):
    """A guider that asks for each side in a call of its own."""

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        calc = comfy.samplers.calc_cond_batch
        (first,) = calc(self.inner_model, [self.conds["positive"]], x, timestep, model_options)
        (second,) = calc(self.inner_model, [self.conds["negative"]], x, timestep, model_options)
        return second + 4 * (first - second)


class DirectGuider(comfy.samplers.CFGGuider):
    """A guider that calls the model itself."""

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        entry = self.conds["positive"][0]["model_conds"]["c_crossattn"].cond
        options = model_options["transformer_options"] | {"cond_or_uncond": [0]}
        return self.inner_model.apply_model(x, timestep, c_crossattn=entry, transformer_options=options)


def guided(kind, model):
    """An image by a guider."""
    guider = kind(model)
    guider.set_conds(told(), OTHER)
    guider.set_cfg(4.0)
    return guide(guider)


def test_a_call_for_one_side_alone(pair):
    """The negative prompt in a call of its own, as some samplers ask for it, has nothing to say about words."""
    model, adapter = pair
    patched = apply_image_prompt(model, adapter, bound(2, CAT), Strength())
    found, wanted = guided(ApartGuider, patched), guided(comfy.samplers.CFGGuider, patched)
    assert relative(found - wanted, wanted - guided(comfy.samplers.CFGGuider, model)) < 2e-5


def test_a_sampler_that_calls_the_model_itself(pair):
    """It does not say whose texts these are: one error, and none without words."""
    model, adapter = pair
    with pytest.raises(SamplingError, match="whose texts these are"):
        guided(DirectGuider, apply_image_prompt(model, adapter, bound(2, CAT), Strength()))
    assert guided(DirectGuider, apply_image_prompt(model, adapter, prompt_of(picture(2)), Strength())).isfinite().all()


@pytest.mark.parametrize("rows", [[[0], [1], [2], [3]], [[0, 2], [1, 3]], [[3], [0, 1, 2]]], ids=str)
def test_a_batch_in_parts(pair, rows):
    """Two images in two passes, cut up by an engine: each row keeps its words."""
    model, adapter = pair
    both = combine([bound(2, CAT), bound(3, DOG)])
    patched = apply_image_prompt(model, adapter, both, Strength(), per_frame=True)
    latent = noise(2)
    split, whole = RowSplit(rows), sample(patched, latent=latent, conds=(told(), OTHER))
    found = sample(split.around(patched), latent=latent, conds=(told(), OTHER))
    assert relative(found - whole, whole - sample(model, latent=latent, conds=(told(), OTHER))) < 2e-5 and split.calls
