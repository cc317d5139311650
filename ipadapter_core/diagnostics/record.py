"""From a model to one whose runs are recorded."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..patchers.hooks.wrappers import RECORDING, applications_of, observers_of
from ..sampling.application import Application
from ..sampling.timeline import Timeline
from .recording import Recording, RunNotes


def record_attention(model: ModelPatcher, maps: bool = True) -> tuple[ModelPatcher, Recording]:
    """A clone of `model` and the notes of its runs; applications before and after it in the workflow are seen alike."""
    recording = Recording(maps)
    watched = model.clone()
    watched.set_model_patch(recording, RECORDING)
    if not watched.get_wrappers(WrappersMP.SAMPLER_SAMPLE, RECORDING):
        watched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, RECORDING, begin_recording)
    return watched, recording


def begin_recording(
    executor: Callable[..., Any], guider: Any, sigmas: Tensor, extra_args: dict[str, Any], *args: Any, **kwargs: Any
) -> Any:
    """Around the sampler: notes the run's noise levels and which application is active at which of its steps."""
    options = extra_args["model_options"]["transformer_options"]
    timeline = Timeline(guider.inner_model.model_sampling.percent_to_sigma)
    levels = tuple(float(sigma) for sigma in sigmas.cpu())
    applications = tuple(applications_of(options))
    active = tuple(active_steps(application, levels, timeline) for application in applications)
    for recording in observers_of(options):
        assert isinstance(recording, Recording)
        recording.begin(RunNotes(levels, applications, active))
    return executor(guider, sigmas, extra_args, *args, **kwargs)


def active_steps(application: Application, sigmas: tuple[float, ...], timeline: Timeline) -> tuple[int, ...]:
    """The steps, from 0, that begin at a noise level inside the application's window and where its schedule is not 0."""
    strength = application.strength
    inside = [
        (step, sigma)
        for step, sigma in enumerate(sigmas[:-1])
        if strength.whole_run or timeline.covers(strength.start_percent, strength.end_percent, sigma)
    ]
    schedule = strength.schedule
    return tuple(step for step, sigma in inside if schedule is None or schedule.at(timeline.percent(sigma)) != 0)
