"""When an application acts: resolved when a run starts, decided once a step."""

import pytest
import torch
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.sampling.timeline import Timeline
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.oracles.recorded_passes import (
    Recorder,
    alone,
    error,
    naive_hooks,
    patched,
    picture,
    sample,
    short_adapter,
    short_model,
)

import comfy.samplers
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete, ModelSamplingSD3, RescaleCFG

pytestmark = pytest.mark.engine

PICTURE = picture(2)
STEPS = 8


class World:
    """A recorded run of 8 steps at CFG 1, one pass each, and how strongly each step acted."""

    def __init__(self, strength: Strength, after=lambda model: model, **sampling):
        self.base = short_model()
        adapter = short_adapter(self.base)
        self.adapter = adapter
        recorder = Recorder(after(patched(self.base, adapter, PICTURE, strength)))
        sample(recorder.model, cfg=1.0, steps=STEPS, scheduler="karras", **sampling)
        self.passes = recorder.passes
        self.model = recorder.model

    def acted_as(self, weights: list[float]) -> bool:
        """Whether each step is what it is alone with that weight."""
        hooks = [naive_hooks(self.base, self.adapter, PICTURE.features, weight) for weight in weights]
        errors = [error(one.output, alone(self.base, one, each)) for one, each in zip(self.passes, hooks, strict=True)]
        return max(errors) < 3e-6


def expected(model, start: float, end: float, scheduler: str = "karras") -> list[float]:
    """1 for each step whose noise level lies in the window, by the model sampling in force."""
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, scheduler, STEPS)[:-1]
    high, low = sampling.percent_to_sigma(start), sampling.percent_to_sigma(end)
    return [float(low <= float(sigma) <= high) for sigma in sigmas]


def zero_terminal(model):
    return ModelSamplingDiscrete().patch(model, "v_prediction", True)[0]


def flow(model):
    return ModelSamplingSD3().patch(model, 3.0)[0]


def rescaled(model):
    return RescaleCFG().patch(model, 0.7)[0]


@pytest.mark.parametrize("after", [lambda model: model, zero_terminal, flow, rescaled])
def test_window_follows_the_model_sampling_in_force(after):
    """A node after ours moves it."""
    world = World(Strength(1.0, 0.3, 0.9), after)
    weights = expected(world.model, 0.3, 0.9)
    assert 0 < sum(weights) < STEPS
    assert after is not flow or weights != expected(short_model(), 0.3, 0.9)  # its steps lie elsewhere
    assert world.acted_as(weights)


def test_a_window_holds_both_its_ends():
    """To the very noise level; percent and back."""
    timeline = Timeline(lambda percent: 1 - percent)
    assert [timeline.covers(0.25, 0.5, sigma) for sigma in (0.76, 0.75, 0.6, 0.5, 0.49)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert [timeline.percent(1 - place) for place in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0, 0.25, 0.5, 1])


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.5, 1.0), (0.0, 1.0)])
def test_window_at_the_ends(start, end):
    """The first and the last step belong to it."""
    world = World(Strength(1.0, start, end))
    assert world.acted_as(expected(world.model, start, end))


def test_window_in_a_part_of_a_run():
    """KSampler (Advanced) runs steps 3 to 6: the window is of the whole run."""
    world = World(Strength(1.0, 0.5, 1.0), start_step=3, last_step=6, force_full_denoise=False)
    weights = expected(world.model, 0.5, 1.0)[3:6]
    assert set(weights) == {0.0, 1.0}
    assert world.acted_as(weights)


def test_schedule_follows_the_run():
    """A straight curve from 1 to 0."""
    world = World(Strength(0.8, schedule=WeightSchedule(((0.0, 1.0), (1.0, 0.0)))))
    sampling = world.model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "karras", STEPS)[:-1]
    percents = [1 - float(sampling.timestep(sigma)) / 999 for sigma in sigmas]
    weights = [0.8 * (1 - percent) for percent in percents]
    hooks = [naive_hooks(world.base, world.adapter, PICTURE.features, weight) for weight in weights]
    errors = [error(one.output, alone(world.base, one, each)) for one, each in zip(world.passes, hooks, strict=True)]
    assert max(errors) < 1e-3  # a thousandth of the run is a thousandth of the weight: sigma grids are rounded


@pytest.mark.parametrize("strength", [Strength(), Strength(1.0, 0.2, 0.8)])
def test_time_is_decided_once_a_step(monkeypatch, strength):
    """One decision for each guider call, whatever the number of layers."""
    decided = []
    whole = Run.step
    monkeypatch.setattr(Run, "step", lambda *given: decided.append(1) or whole(*given))
    model = short_model()
    sample(patched(model, short_adapter(model), PICTURE, strength), steps=STEPS)
    assert len(decided) == STEPS


def test_resting_is_as_if_it_were_not_there():
    """Outside its window an application changes nothing, to the bit."""
    model = short_model()
    adapter = short_adapter(model)
    late = patched(model, adapter, PICTURE, Strength(1.0, 0.1, 0.2))
    assert torch.equal(sample(late, steps=3), sample(model, steps=3))
