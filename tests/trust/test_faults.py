"""Faults while running: the next image is right to the bit, nothing is held, and nobody of ours keeps the error.

At every place where we allocate, memory runs out in each of the ways that there are to say so, or the prompt is cancelled
at that very moment. ComfyUI has to hear of it, to free memory or to stop the prompt.
"""

import gc
import weakref
from itertools import cycle

import pytest
import torch
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.fault_runs import LATENT, STRENGTHS, Run, held_by, transformer_run, unet_run
from pack.tests.oracles.faults import FAULTS, Allocations, Interrupt, allocations, first_and_last
from pack.tests.oracles.recorded_passes import (
    FEATURES,
    patched,
    picture,
    sample,
    short_adapter,
    short_model,
)
from pack.tools.miniature.faces import tiny_encoder
from torch import Tensor

from comfy.model_patcher import ModelPatcher

pytestmark = pytest.mark.trust


def state(model: ModelPatcher) -> tuple:
    """What hangs on the model that went in."""
    return repr(model.model_options), len(model.patches), repr(model.wrappers), repr(model.callbacks)


def tensors() -> int:
    """How many tensors there are."""
    gc.collect()
    return sum(issubclass(type(one), Tensor) for one in gc.get_objects())


def stands_every_fault(run: Run) -> int:
    """Fails every line of ours that allocates, the first and the last time that it does; returns how often."""
    right, before = run.image(), state(run.model)
    places = first_and_last(allocations(run.image))
    assert places
    count = tensors()
    for place, fault in zip(places, cycle(FAULTS), strict=False):
        patched_model = None
        with pytest.raises(fault), Allocations(place, fault):
            patched_model = run.patch()
            run.sample(patched_model)
        assert patched_model is None or held_by(patched_model) == 0
        assert state(run.model) == before
        assert run.image().equal(right), (place, fault)
    del patched_model
    assert tensors() <= count
    return len(places)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_unet_stands_every_fault(strength):
    """Projecting, placing, scaling, masking, attending."""
    assert stands_every_fault(unet_run(STRENGTHS[strength])) > 10


@pytest.mark.parametrize("case", ["FLUX InstantX", "SD3.5 InstantX", "Anima LuciferTC"])
def test_a_transformer_stands_every_fault(case):
    """One of each family's hooks."""
    assert stands_every_fault(transformer_run(case)) > 5


def test_encoding_stands_every_fault():
    """Pixels, features and negatives of a batch of images."""
    model = short_model()
    adapter, encoder = short_adapter(model), tiny_encoder(projection=FEATURES)
    image = torch.rand(2, 40, 30, 3, generator=torch.Generator().manual_seed(1))

    def patch() -> ModelPatcher:
        prompt, _ = encode_references(adapter.spec, encoder, image, EncodeOptions(sharpening=0.5))
        return apply_image_prompt(model, adapter, prompt, Strength())

    assert stands_every_fault(Run(model, patch, lambda one: sample(one, latent=LATENT))) > 20


@pytest.mark.parametrize("step", range(3))
def test_the_image_after_a_cancelled_one_is_right(step):
    """The button, as ComfyUI's sampler hears it: between two steps."""
    run = unet_run(STRENGTHS["schedule"])
    right = run.image()
    model = run.patch()

    def press(now: int, *_) -> None:
        if now == step:
            raise Interrupt

    with pytest.raises(Interrupt):
        sample(model, latent=LATENT, steps=3, callback=press)
    assert held_by(model) == 0
    assert sample(model, latent=LATENT).equal(right)


def test_a_reference_that_vanishes():
    """Nothing but the patch holds what was made of the image, and that is enough; with the patch it goes."""
    model = short_model()
    adapter = short_adapter(model)
    image = picture(2)
    right = sample(patched(model, adapter, picture(2)), latent=LATENT)
    one = patched(model, adapter, image)
    bank = weakref.ref(adapter.bank(image))
    del image
    gc.collect()
    assert sample(one, latent=LATENT).equal(right)
    del one
    gc.collect()
    assert bank() is None
