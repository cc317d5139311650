"""Two runs at the same time, and a run whose patcher ComfyUI forgot."""

import sys
import threading

import pytest
from pack.tests.oracles.fault_runs import LATENT, STRENGTHS, held_by, unet_run
from pack.tests.oracles.recorded_passes import (
    sample,
    short_model,
)
from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

pytestmark = pytest.mark.trust


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
