"""The training loop: the rate's course, averaged weights, and a run that is taken up where it was left."""

import pytest
import torch
from pack.ipadapter_core.training.loop import Schedule, Training

pytestmark = pytest.mark.training


def training(folder, steps, save_every=5):
    """One number that is to become 3."""
    number = torch.zeros(1, requires_grad=True)
    made = Training("number", {"number": number}, Schedule(steps, 0.1, warm_up=4, save_every=save_every), folder)
    return made, lambda step: (number - 3).square().sum()


def test_the_rate_warms_up_and_falls():
    """In equal steps to the full rate, and in equal steps to nothing over the last quarter."""
    schedule = Schedule(steps=100, learning_rate=2.0, warm_up=4, decay=0.25)
    assert [schedule.rate(step) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert [schedule.rate(step) for step in (75, 80, 100)] == pytest.approx([2.0, 1.6, 0.0])


def test_it_learns_and_averages(tmp_path):
    """The average follows behind the number, which goes to where the loss is least."""
    made, loss = training(tmp_path, 200)
    average = made.run(loss)["number"]
    number = made.parameters["number"].detach()
    assert abs(float(number) - 3) < 0.2 and 0 < abs(float(average) - 3) < 1
    assert made.progress.step == 200 and [step for step, _ in made.progress.losses] == list(range(25, 201, 25))


def test_a_run_that_was_left_goes_on(tmp_path):
    """To the bit what one run would have made."""
    whole, loss = training(tmp_path / "whole", 10)
    expected = whole.run(loss)["number"]
    first, loss = training(tmp_path / "two", 10)

    def until_seven(step):
        if step == 7:
            raise KeyboardInterrupt
        return loss(step)

    with pytest.raises(KeyboardInterrupt):
        first.run(until_seven)
    second, loss = training(tmp_path / "two", 10)
    assert torch.equal(second.run(loss)["number"], expected) and second.progress.step == 10
