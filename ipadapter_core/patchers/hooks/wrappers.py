"""The three moments of a run at which something is decided: it starts, a step is about to run, a model is about to be called.

Applications live in `transformer_options["patches"]` under our name, where ComfyUI copies, counts and cleans them up with
every other patch. The layers' own hooks are set only for the length of a model call, around whatever other packs put
there, so that no order of nodes matters and nothing of ours is left for others to trip over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ...sampling.application import Application
from ...sampling.layer_call import Observer
from ...sampling.polarity import GuiderRoles
from ...sampling.run import Run, Step
from ...sampling.timeline import Timeline
from ...warn_once import warn_once
from .batch_layout import LAYOUT, layout_of, passes_of
from .part_of_batch import PLAN, watched
from .torch_compile import is_compiled, program_name, with_constant_structure, with_places

NAME = "ipadapter_core"
RECORDING = "ipadapter_core_recording"
RUN = "ipadapter_core_run"
STEP = "ipadapter_core_step"
LIKE = "ipadapter_core_like"
COMPOSED = "ipadapter_core_composed"
IGNORES_UNKNOWN_KWARGS = (
    "ipadapter_core_deaf"  # set by families whose network looks at no arguments but those that it knows
)

Options = dict[str, Any]
Execute = Callable[..., Any]  # what a wrapper stands around


class CallState(NamedTuple):
    """What a model call is about: the live network, and the noise level (B) of its rows."""

    network: Any
    sigma: Tensor


Compose = Callable[[list[Application], Options, Run, CallState], Options]
WRAPPERS = (WrappersMP.SAMPLER_SAMPLE, WrappersMP.CALC_COND_BATCH, WrappersMP.APPLY_MODEL)  # where ours stand


def add_application(model: ModelPatcher, application: Application, compose: Compose) -> ModelPatcher:
    """A clone of `model` with one more application; `compose` sets the family's hooks for the length of a model call."""
    patched = model.clone()
    patched.set_model_patch(application, NAME)
    for kind, wrapper in zip(WRAPPERS, (begin_run, begin_step, ApplyModelWrapper(compose)), strict=True):
        if not patched.get_wrappers(kind, NAME):
            patched.add_wrapper_with_key(kind, NAME, wrapper)
    return patched


def applications_of(options: Options) -> list[Application]:
    """Our applications among a model's patches, in the order in which they were applied."""
    return options.get("patches", {}).get(NAME, [])


def observers_of(options: Options) -> list[Observer]:
    """Who takes notes of a model's runs."""
    return options.get("patches", {}).get(RECORDING, [])


def begin_run(
    executor: Execute, guider: Any, sigmas: Tensor, extra_args: dict[str, Any], *args: Any, **kwargs: Any
) -> Any:
    """Around the sampler: notes the guider's conditionings by name and the model sampling in force."""
    model_sampling = guider.inner_model.model_sampling
    options = extra_args["model_options"]["transformer_options"]
    options[RUN] = Run(GuiderRoles(guider.conds), Timeline(model_sampling.percent_to_sigma))
    return executor(guider, sigmas, extra_args, *args, **kwargs)


def begin_step(
    executor: Execute,
    model: Any,
    conds: list[Any],
    x_in: Tensor,
    timestep: Tensor,
    model_options: dict[str, Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Around a batch of conditionings: decides polarity, weight and area once for all layers."""
    options = model_options.get("transformer_options", {})
    run = options.get(RUN) or Run(timeline=Timeline(model.model_sampling.percent_to_sigma))
    step = run.step(conds, x_in, timestep, applications_of(options))
    options = options | {RUN: run, STEP: step}
    return executor(model, conds, x_in, timestep, model_options | {"transformer_options": options}, *args, **kwargs)


@dataclass(frozen=True)
class ApplyModelWrapper:
    """Around the model: sets the family's hooks in a copy of this call's options.

    Where ComfyUI's torch.compile stands around or inside, see `torch_compile.py`.
    """

    compose: Compose

    def __deepcopy__(self, memo: dict[int, Any]) -> "ApplyModelWrapper":
        return self

    def __call__(
        self,
        executor: Any,
        x: Tensor,
        t: Tensor,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: dict[str, Any] | None = None,
        transformer_options: Options | None = None,
        **kwargs: Any,
    ) -> Any:
        options = transformer_options or {}
        applications = applications_of(options)
        if applications and COMPOSED not in options:  # a wrapper that ComfyUI lists twice must not act twice
            model = executor.class_obj
            options, run = _decided(options, applications, x, t, model, c_crossattn)
            masked = any(application.masked for application in applications)
            layout = layout_of(options, options[STEP], x, masked)
            like = x.new_empty(0, dtype=model.get_dtype_inference())
            found: Options = {LAYOUT: layout, LIKE: like, COMPOSED: True}
            options = options | found
            compiled = is_compiled(options)
            if compiled:
                options[STEP] = with_constant_structure(options[STEP], applications, like)
            for application in applications:
                application.placed(like.device, like.dtype)
            decided, state = options, CallState(model.diffusion_model, t)
            options = self.compose(applications, decided, run, state)
            if compiled:
                name = program_name(applications, options[PLAN])
                kwargs = kwargs | {name: None}
                control = with_places(control, name) if options.get(IGNORES_UNKNOWN_KWARGS) else control
            else:
                options = watched(
                    options, lambda part: self.compose(applications, decided | {LAYOUT: part}, run, state)[PLAN]
                )
            out = executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
            options[PLAN].finish()
            return out
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)


def _decided(
    options: Options, applications: list[Application], x: Tensor, t: Tensor, model: Any, text: Tensor | None
) -> tuple[Options, Run]:
    """Options with a step in them: the one that `begin_step` decided, or for a sampler that calls the model directly."""
    if STEP in options:
        return options, options.get(RUN) or Run()
    run = options.get(RUN) or Run(timeline=Timeline(model.model_sampling.percent_to_sigma))
    passes = passes_of(options)
    step = run.step([None] * (1 + max(passes)), x[: x.shape[0] // len(passes)], t, applications)
    return options | {STEP: step._replace(polarities=_polarities(run.roles, text, passes, step))}, run


def _polarities(roles: GuiderRoles | None, text: Tensor | None, passes: list[int], step: Step) -> tuple[int, ...]:
    """The side of each pass by its text, where the guider's prompts have it; else by its number, as ComfyUI counts them."""
    sides = list(step.polarities)
    parts = () if roles is None or text is None or len(text) % len(passes) else text.chunk(len(passes))
    found = [roles.polarity_of_text(part) if roles else None for part in parts]
    if not found or None in found:
        warn_once("a sampler calls the model directly, so the first of its passes is taken as positive")
    for number, side in zip(passes, found, strict=False):
        sides[number] = sides[number] if side is None else side
    return tuple(sides)
