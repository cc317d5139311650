"""Faults while running: the next image is right to the bit, nothing is held, and nobody of ours keeps the error.

At every place where we allocate, memory runs out in each of the ways that there are to say so, or the prompt is cancelled
at that very moment. ComfyUI has to hear of it, to free memory or to stop the prompt.
"""

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from itertools import cycle
from typing import NamedTuple

import pytest
import torch
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.scaling import Scaling
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.oracles.faults import FAULTS, Allocations, Interrupt, allocations, first_and_last
from pack.tests.oracles.recorded_passes import (
    FEATURES,
    noise,
    patched,
    picture,
    prompt_of,
    sample,
    short_adapter,
    short_model,
)
from pack.tests.oracles.transformer_world import other_prompt, world
from pack.tests.oracles.transformer_world import sample as sample_transformer
from pack.tools.miniature.faces import tiny_encoder
from pack.tools.miniature.transformers import some_call
from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

pytestmark = pytest.mark.trust
CPU = torch.device("cpu")
LATENT = noise(2, 8, 8)
RAMP = torch.linspace(0, 1, 64).reshape(1, 8, 8)
STRENGTHS = {
    "plain": Strength(),
    "schedule": Strength(schedule=WeightSchedule(((0.0, 0.2), (1.0, 1.0))), end_percent=0.5),
    "frames": Strength(frames=(0.3, 1.1), scaling=Scaling.K_AND_V),
}


class Run(NamedTuple):
    """A node that patches `model`, and the sampler behind it."""

    model: ModelPatcher
    patch: Callable[[], ModelPatcher]
    sample: Callable[[ModelPatcher], Tensor]

    def image(self) -> Tensor:
        """Both, from nothing."""
        return self.sample(self.patch())


def unet_run(strength: Strength) -> Run:
    """Two references under a soft mask on a UNet, two images at once; the adapter is fresh, so that nothing is projected."""
    model = short_model()
    adapter = short_adapter(model)

    def patch() -> ModelPatcher:
        prompt = prompt_of(picture(2), picture(3))
        return apply_image_prompt(model, adapter, prompt, strength, mask=RAMP, per_frame=strength.frames is not None)

    return Run(model, patch, lambda one: sample(one, latent=LATENT))


def transformer_run(case: str) -> Run:
    """One reference on a transformer."""
    name, model, adapter, _ = world(case)
    call = some_call(name)

    def patch() -> ModelPatcher:
        return apply_image_prompt(model, adapter, other_prompt(case), STRENGTHS["schedule"])

    return Run(model, patch, lambda one: sample_transformer(one, call, steps=1))


def state(model: ModelPatcher) -> tuple:
    """What hangs on the model that went in."""
    return repr(model.model_options), len(model.patches), repr(model.wrappers), repr(model.callbacks)


def held_by(model: ModelPatcher) -> int:
    """Bytes that our patches keep on the compute device."""
    return sum(one.bytes_on(CPU) for one in applications_of(model.model_options["transformer_options"]))


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


def two_threads(*models: ModelPatcher) -> list[Tensor | BaseException]:
    """What each of two simultaneous runs gave, or what it ended in."""
    results: list[Tensor | BaseException] = [Tensor()] * len(models)

    def run(place: int) -> None:
        try:
            results[place] = sample(models[place], latent=LATENT, steps=2 + place)
        except BaseException as error:  # noqa: BLE001 - the thread's result, whatever it is
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def ending_together(model: ModelPatcher, barrier: threading.Barrier) -> ModelPatcher:
    """A clone whose runs end when all at the barrier have ended, so that none of them sees another's clean-up."""

    def wait(executor, *args, **kwargs):
        output = executor(*args, **kwargs)
        barrier.wait(timeout=60)
        return output

    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, "ending together", wait)
    return clone


def test_one_model_in_two_threads():
    """The same patch on two clones of one model, steps interleaved: each image is right to the bit, every time."""
    run = unet_run(STRENGTHS["schedule"])
    model = run.patch()
    right = [sample(model, latent=LATENT, steps=2 + place) for place in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(20):
            barrier = threading.Barrier(2)
            images = two_threads(ending_together(model, barrier), ending_together(model, barrier))
            assert all(
                isinstance(one, Tensor) and one.equal(image) for one, image in zip(images, right, strict=True)
            ), images
    finally:
        sys.setswitchinterval(interval)
    assert held_by(model) == 0


def test_comfyui_forgets_the_patcher_of_a_run_that_another_one_outlives():
    """ComfyUI's own: all clones share one `current_patcher`, and the first to end sets it to None. No patch takes part."""
    model = short_model()
    other_has_ended = threading.Event()

    def wait(executor, *args, **kwargs):
        other_has_ended.wait(timeout=60)
        return executor(*args, **kwargs)

    slow = model.clone()
    slow.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "waits", wait)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            sample(slow, latent=LATENT)
        except AttributeError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    sample(model, latent=LATENT)
    other_has_ended.set()
    thread.join()
    assert "'NoneType' object has no attribute 'prepare_state'" in str(ended[0])


def test_the_image_after_a_run_that_lost_its_patcher_is_right():
    """With our patch it ends as it ends without, and leaves nothing behind."""
    run = unet_run(STRENGTHS["schedule"])
    right, model = run.image(), run.patch()

    def forget(executor, guider, *args, **kwargs):
        guider.inner_model.current_patcher = None
        return executor(guider, *args, **kwargs)

    broken = model.clone()
    broken.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, "forgets", forget)
    with pytest.raises(AttributeError, match="prepare_state"):
        run.sample(broken)
    assert held_by(broken) == 0
    assert run.sample(model).equal(right)
