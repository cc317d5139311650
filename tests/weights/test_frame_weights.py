"""Weights over frames: each timing and method against its formula, written down frame by frame."""

import json
import math

import pytest
from pack.ipadapter_core.errors import WeightError
from pack.ipadapter_core.weights.frame_weights import (
    FrameMethod,
    Ramp,
    Timing,
    frame_plan,
    prompt_schedule,
    ramp_weights,
)

pytestmark = pytest.mark.catalogue

STATED = {
    Timing.LINEAR: lambda x: x,
    Timing.EASE_IN_OUT: lambda x: (1 - math.cos(math.pi * x)) / 2,
    Timing.EASE_IN: lambda x: math.sin(math.pi * x / 2),
    Timing.EASE_OUT: lambda x: 1 - math.cos(math.pi * x / 2),
}


@pytest.mark.parametrize("window", [(0, 9999), (2, 9), (0, 5), (3, 12)])
@pytest.mark.parametrize("timing", STATED, ids=lambda timing: timing.value)
def test_catalogue_eases_are_their_formulas(timing, window):
    """From the first number to the last inside the window, still outside."""
    start, end = window
    got = ramp_weights((1.0, 7.0, 0.25), Ramp(timing, 12, start, end))
    last = min(end, 12) - 1
    stated = [
        1.0 + (0.25 - 1.0) * STATED[timing](min(max((i - start) / (last - start), 0), 1)) if i >= start else 1.0
        for i in range(12)
    ]
    assert got == pytest.approx(stated, abs=1e-12) and got[last] == 0.25


def test_catalogue_ramps_at_their_limits():
    """Nothing given goes from 0 to 1; at least two frames; one moving frame has arrived; custom is what is given."""
    assert ramp_weights((), Ramp(Timing.LINEAR, 3)) == (0.0, 0.5, 1.0)
    assert ramp_weights((1.0, 0.0), Ramp()) == (1.0, 0.0)
    assert ramp_weights((1.0, 0.0), Ramp(Timing.EASE_IN, 4, 2, 3)) == (1.0, 1.0, 0.0, 0.0)
    assert ramp_weights((0.3, 2.0, -1.0), Ramp(Timing.CUSTOM, 50, 7, 2)) == (0.3, 2.0, -1.0)
    assert ramp_weights((), Ramp(Timing.CUSTOM)) == (0.0,)
    for ramp in (Ramp(Timing.LINEAR, 4, 4), Ramp(Timing.RANDOM, 4, 3, 2)):
        with pytest.raises(WeightError, match="start_frame.*Frame Weights"):
            ramp_weights((1.0, 0.0), ramp)


def test_catalogue_random_weights_follow_their_seed():
    """Between the two numbers, evenly, the same for the same seed."""
    many = ramp_weights((0.2, 0.8), Ramp(Timing.RANDOM, 4000, seed=1))
    assert all(0.2 <= weight <= 0.8 for weight in many)
    assert abs(sum(many) / 4000 - 0.5) < 0.01 and abs(sum(weight < 0.35 for weight in many) / 4000 - 0.25) < 0.03
    assert many == ramp_weights((0.2, 0.8), Ramp(Timing.RANDOM, 4000, seed=1))
    assert many != ramp_weights((0.2, 0.8), Ramp(Timing.RANDOM, 4000, seed=2))


ROW = (1.0, 0.75, 0.5, 0.0)


def test_catalogue_full_batch():
    """Each reference has the whole row, one after the other."""
    plan = frame_plan(ROW, 3, FrameMethod.FULL)
    assert plan.weights == ROW * 3 and plan.first == (0,) * 4 + (1,) * 4 + (2,) * 4 and plan.second == ()


@pytest.mark.parametrize("references", [2, 3, 4, 5])
@pytest.mark.parametrize("method", [FrameMethod.SHIFT, FrameMethod.ALTERNATE], ids=lambda method: method.value)
def test_catalogue_methods_fade_from_each_reference_to_the_next(method, references):
    """On the way from k to k + 1, reference k has w and k + 1 has 1 - w, whichever sequence they are in.

    Alternating, every reference stays in the sequence of its parity.
    """
    plan = frame_plan(ROW, references, method)
    assert len(plan.weights) == len(plan.first) == len(plan.second) == 4 * (references - 1)
    for frame, (weight, other, first, second) in enumerate(
        zip(plan.weights, plan.complement, plan.first, plan.second, strict=True)
    ):
        way, place = divmod(frame, 4)
        assert {first: weight, second: other} == {way: ROW[place], way + 1: 1 - ROW[place]}
        if method is FrameMethod.SHIFT:
            assert (first, second) == (way, way + 1)
        else:
            assert first % 2 == 0 and second % 2 == 1


@pytest.mark.parametrize("method", FrameMethod, ids=lambda method: method.value)
def test_catalogue_frames_before_and_after(method):
    """They stand still on the first and on the last reference, with the first and the last weight."""
    plain, plan = (frame_plan(ROW, 3, method, *lead) for lead in ((0, 0), (2, 3)))
    assert plan.weights == (plain.weights[0],) * 2 + plain.weights + (plain.weights[-1],) * 3
    assert plan.first == (0, 0, *plain.first, 2, 2, 2)
    assert plan.second == ((0, 0, *plain.second, 2, 2, 2) if plain.second else ())


def test_catalogue_too_few_references_are_explained():
    """A fade needs two."""
    for method in (FrameMethod.SHIFT, FrameMethod.ALTERNATE):
        with pytest.raises(WeightError, match="found 1 references.*needs 2.*Frame Weights"):
            frame_plan(ROW, 1, method)
    with pytest.raises(WeightError, match="found 0 references"):
        frame_plan(ROW, 0, FrameMethod.FULL)


def test_catalogue_prompt_schedules_are_keyframes():
    """Every `frames` frames, read back as JSON; quotation marks do not end a prompt."""
    text = prompt_schedule(('a "red" house', "ein Löwe", "sea"), 16, 4)
    assert json.loads("{" + text.rstrip(",") + "}") == {"4": 'a "red" house', "20": "ein Löwe", "36": "sea"}
    assert text.splitlines()[1] == '"20": "ein Löwe",'
