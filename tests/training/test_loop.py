"""The training loop: the rate's course, averaged weights, and a run that is taken up where it was left."""

import math

import pytest
import torch
from pack.ipadapter_core.errors import TrainingError
from pack.ipadapter_core.training.loop import Training
from pack.ipadapter_core.training.optimisers import OptimiserName
from pack.ipadapter_core.training.schedule import RateCourse, Schedule

import comfy.model_management

pytestmark = pytest.mark.training
OURS = [name for name in OptimiserName if name is not OptimiserName.ADAMW_8BIT]


def training(folder, steps, save_every=5, **changes):
    """One number that is to become 3."""
    number = torch.zeros(1, requires_grad=True)
    schedule = Schedule(steps, 0.1, warm_up=4, save_every=save_every, **changes)
    made = Training("number", {"number": number}, schedule, folder / "number.safetensors")
    return made, lambda batch: (number - 3).square().sum() * (1 + batch % 3)


def until(loss, batch, error):
    """A loss that is interrupted at a batch."""

    def left(number):
        if number == batch:
            raise error
        return loss(number)

    return left


def test_the_rate_warms_up_and_falls():
    """In equal steps to the full rate, and in equal steps to nothing over the last quarter."""
    schedule = Schedule(steps=100, learning_rate=2.0, warm_up=4, decay=0.25)
    assert [schedule.rate(step) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert [schedule.rate(step) for step in (75, 80, 100)] == pytest.approx([2.0, 1.6, 0.0])


def test_other_courses():
    """A constant rate stays, a cosine's is half way down in the middle."""
    constant = Schedule(100, 2.0, warm_up=1, course=RateCourse.CONSTANT)
    cosine = Schedule(100, 2.0, warm_up=1, course=RateCourse.COSINE)
    assert {constant.rate(step) for step in range(100)} == {2.0}
    assert [cosine.rate(step) for step in (0, 50, 100)] == pytest.approx([2.0, 1.0, 0.0])


def test_it_learns_and_averages(tmp_path):
    """The average follows behind the number, which goes to where the loss is least."""
    made, loss = training(tmp_path, 200)
    average = made.run(loss)["number"]
    number = made.parameters["number"].detach()
    assert abs(float(number) - 3) < 0.2 and 0 < abs(float(average) - 3) < 1
    assert made.progress.step == 200 and [step for step, _ in made.progress.curve()] == list(range(25, 201, 25))


@pytest.mark.parametrize("name", OURS, ids=lambda name: name.value)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), comfy.model_management.InterruptProcessingException()],
                         ids=["keyboard", "cancelled"])  # fmt: skip
def test_a_run_that_was_left_goes_on(tmp_path, name, error):
    """To the bit what one run would have made, from the very step at which it was cancelled."""
    whole, loss = training(tmp_path / "whole", 10, optimiser=name)
    expected = whole.run(loss)["number"]
    first, loss = training(tmp_path / "two", 10, optimiser=name)
    with pytest.raises(type(error)):
        first.run(until(loss, 7, error))
    second, loss = training(tmp_path / "two", 10, optimiser=name)
    second.resume()
    assert second.progress.step == 7
    assert torch.equal(second.run(loss)["number"], expected) and second.progress.losses == whole.progress.losses
    assert torch.equal(second.parameters["number"], whole.parameters["number"])


def test_an_error_leaves_the_last_checkpoint(tmp_path):
    """What is wrong with a step is not kept: the run goes on from the last checkpoint."""
    first, loss = training(tmp_path, 10)
    with pytest.raises(ValueError):
        first.run(until(loss, 7, ValueError()))
    second, _ = training(tmp_path, 10)
    second.resume()
    assert second.progress.step == 5


def test_batches_are_accumulated(tmp_path):
    """Two batches make one step, with the mean of their gradients; a run left between the two begins the step again."""
    seen = []
    made, loss = training(tmp_path, 3, accumulate=2)
    made.run(lambda batch: (seen.append(batch), loss(batch))[1])
    assert seen == list(range(6))
    other, loss = training(tmp_path / "left", 3, accumulate=2)
    with pytest.raises(KeyboardInterrupt):
        other.run(until(loss, 3, KeyboardInterrupt()))
    again, loss = training(tmp_path / "left", 3, accumulate=2)
    assert torch.equal(again.run(loss)["number"], made.average["number"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_it(tmp_path, value):
    """Before anything is changed by it; the last checkpoint stays."""
    made, loss = training(tmp_path, 10)
    with pytest.raises(TrainingError, match="at step 7"):
        made.run(lambda batch: loss(batch) * (value if batch == 6 else 1))
    assert torch.isfinite(made.parameters["number"]).all() and made.progress.step == 6
    again, loss = training(tmp_path, 10)
    again.resume()
    assert again.progress.step == 5


def test_a_gradient_that_is_no_number_ends_it(tmp_path):
    """Although the loss is one."""
    made, loss = training(tmp_path, 4)
    number = made.parameters["number"]
    with pytest.raises(TrainingError, match="gradient"):
        made.run(lambda batch: (number * 0).sqrt().sum() + 1)
    assert float(number) == 0 and not made.file.exists()


def test_gradients_are_clipped(tmp_path):
    """A long one changes no more than a short one of the same direction would."""
    steps = {}
    for clip in (1.0, 0.0):
        made, loss = training(tmp_path / str(clip), 1, clip=clip, optimiser=OptimiserName.SGD)
        made.run(lambda batch, loss=loss: loss(batch) * 1000)
        steps[clip] = float(made.parameters["number"].detach())
    assert steps[1.0] == pytest.approx(0.025) and steps[0.0] > 100
