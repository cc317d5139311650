"""The three moments of a run at which something is decided: it starts, a step is about to run, a model is about to be called.

Applications live in `transformer_options["patches"]` under our name, where ComfyUI copies, counts and cleans them up with
every other patch. The layers' own hooks are set only for the length of a model call, around whatever other packs put
there, so that no order of nodes matters and nothing of ours is left for others to trip over.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..application import Application
from ..polarity import GuiderRoles
from ..step import Run
from ..timeline import Timeline

NAME = "ipadapter_core"
RUN = "ipadapter_core_run"
STEP = "ipadapter_core_step"
LATENT = "ipadapter_core_latent"

logger = logging.getLogger(__name__)

Options = dict[str, Any]


class CallState(NamedTuple):
    """What a model call is about: the live network, and the noise level (B) of its rows."""

    network: Any
    sigma: Tensor


Compose = Callable[[list[Application], Options, Run, CallState], Options]


def add_application(model: ModelPatcher, application: Application, compose: Compose) -> ModelPatcher:
    """A clone of `model` with one more application; `compose` sets the family's hooks for the length of a model call."""
    patched = model.clone()
    patched.set_model_patch(application, NAME)
    wrappers = (
        (WrappersMP.SAMPLER_SAMPLE, begin_run),
        (WrappersMP.CALC_COND_BATCH, begin_step),
        (WrappersMP.APPLY_MODEL, ModelCall(compose)),
    )
    for kind, wrapper in wrappers:
        if not patched.get_wrappers(kind, NAME):
            patched.add_wrapper_with_key(kind, NAME, wrapper)
    return patched


def applications_of(options: Options) -> list[Application]:
    """Our applications among a model's patches, in the order in which they were applied."""
    return options.get("patches", {}).get(NAME, [])


def begin_run(executor, guider, sigmas, extra_args: dict, *args, **kwargs):
    """Around the sampler: notes the guider's conditionings by name and the model sampling in force."""
    model_sampling = guider.inner_model.model_sampling
    options = extra_args["model_options"]["transformer_options"]
    options[RUN] = Run(GuiderRoles(guider.conds), Timeline(model_sampling.percent_to_sigma))
    return executor(guider, sigmas, extra_args, *args, **kwargs)


def begin_step(executor, model, conds, x_in, timestep, model_options: dict, *args, **kwargs):
    """Around a batch of conditionings: decides polarity, weight and area once for all layers."""
    options = model_options["transformer_options"]
    run = options.get(RUN) or Run(timeline=Timeline(model.model_sampling.percent_to_sigma))
    step = run.step(conds, x_in, timestep, applications_of(options))
    options = options | {RUN: run, STEP: step}
    return executor(model, conds, x_in, timestep, model_options | {"transformer_options": options}, *args, **kwargs)


@dataclass(frozen=True)
class ModelCall:
    """Around the model: sets the family's hooks in a copy of this call's options."""

    compose: Compose

    def __deepcopy__(self, memo: dict) -> "ModelCall":
        return self

    def __call__(
        self, executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs
    ):
        options = transformer_options or {}
        applications = applications_of(options)
        if applications:
            run = options.get(RUN)
            if STEP not in options:
                logger.warning(
                    "IP-Adapter: the sampler calls the model directly, so the first pass is taken as positive"
                )
                run = Run()
                options = options | {STEP: _step_of_call(run, x, t, options)}
            options = options | {LATENT: tuple(x.shape[-2:])}
            state = CallState(executor.class_obj.diffusion_model, t)
            options = self.compose(applications, options, run or Run(), state)
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)


def _step_of_call(run: Run, x, t, options: Options):
    passes = max(1, len(options.get("cond_or_uncond", ())))
    count = 1 + max(options.get("cond_or_uncond", (0,)), default=0)
    return run.step([None] * count, x[: x.shape[0] // passes], t, applications_of(options))
