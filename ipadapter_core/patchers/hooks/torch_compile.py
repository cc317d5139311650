"""What torch.compile needs of us: the same program at every step, and another name where it must be another program.

ComfyUI's TorchCompileModel drops every guard on `transformer_options`, where all of a patch lives. So a program that was
compiled for one call is taken for the next as long as the other arguments look alike: tensors are read anew from where
they lie, but everything else is as it was at the first call. Hence what changes from step to step has to be a tensor, and
what makes another program has to show outside `transformer_options`: in the name of an argument that nobody reads.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...sampling.application import Application
from ...sampling.plan import ModelCallPlan
from ...sampling.prepared import PreparedApplication
from ...sampling.run import Step
from ...sampling.step_weight import StepWeight

_numbers: dict[str, int] = {}  # of programs, in the order in which they came up
COMPILE_KEY = "torch.compile"  # comfy_api.torch_helpers.torch_compile: the key of its wrapper around the model call


def is_compiled(options: dict[str, Any]) -> bool:
    """Whether ComfyUI compiles the model of this call."""
    return COMPILE_KEY in options.get("wrappers", {}).get("apply_model", {})


def with_constant_structure(step: Step, applications: Sequence[Application], like: Tensor) -> Step:
    """The step with a tensor for whatever rests now or acts as it is, but may not at another step: 0 or 1."""
    weights: list[StepWeight] = []
    for application, weight in zip(applications, step.weights, strict=True):
        strength = application.strength
        if not strength.whole_run and weight.multiplier is None:
            count, value = len(strength.frames or (1,)), 1.0 if weight.active else 0.0
            weight = StepWeight(True, like.new_full((count,), value))
        weights.append(weight)
    return step._replace(weights=tuple(weights))


def program_name(applications: Sequence[Application], plan: ModelCallPlan) -> str:
    """A name for the program that the layers now make up: everything that a compiled one takes as given."""
    layout, like = plan.layout, plan.like
    given: tuple[Any, ...] = (layout.polarities, len(layout.frames), layout.latent, layout.passes, layout.texts)
    given += (layout.announced, plan.output_is_exclusive)
    for application, prepared in zip(applications, plan.prepared, strict=True):
        given += (
            application.blocks,
            application.per_frame,
            application.words,
            application.strength.scaling,
            application.strength.polarity_rule,
            application.orthogonality,
            tuple(layer and _shapes(layer) for layer in application.placed(like.device, like.dtype)),
            prepared and _prepared(prepared),
        )
    return f"ipadapter_core_{hash(given) & 0xFFFFFFFFFFFF:x}"


def with_places(control: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """A ControlNet's outputs with as many empty places behind them as tell this program from every other.

    For networks that take arguments of any name and look at none of them: those have no guards, a list has its length.
    """
    outputs: list[Any] = (control or {}).get("output") or []
    places = _numbers.setdefault(name, len(_numbers) + 1)
    return (control or {}) | {"output": [*outputs, *[None] * places]}


def _prepared(prepared: PreparedApplication) -> tuple[Any, ...]:
    masks = tuple((grid, _shapes(mask)) for grid, mask in prepared.masks)
    return _shapes((prepared.weight, prepared.choice)) + masks


def _shapes(tensors: Sequence[Tensor | None]) -> tuple[Any, ...]:
    return tuple(None if tensor is None else tuple(tensor.shape) for tensor in tensors)
