"""What torch.compile needs of us: the same program at every step, and another name where it must be another program.

ComfyUI's TorchCompileModel drops every guard on `transformer_options`, where all of a patch lives. So a program that was
compiled for one call is taken for the next as long as the other arguments look alike: tensors are read anew from where
they lie, but everything else is as it was at the first call. Hence what changes from step to step has to be a tensor, and
what makes another program has to show outside `transformer_options`: in the name of an argument that nobody reads.
"""

from typing import Any, NamedTuple

import torch

from ..application import Application
from ..effect import Rows
from ..step import Step

COMPILE_KEY = "torch.compile"  # comfy_api.torch_helpers.torch_compile: the key of its wrapper around the model call
HALVINGS = 6  # as many as any UNet has, and the latent itself


class Call(NamedTuple):
    """Where and in what a model call computes, and the height and width of its latent."""

    device: torch.device
    dtype: torch.dtype
    latent: tuple[int, int]


def is_compiled(options: dict[str, Any]) -> bool:
    """Whether ComfyUI compiles the model of this call."""
    return COMPILE_KEY in options.get("wrappers", {}).get("apply_model", {})


def with_constant_structure(step: Step, applications: list[Application], call: Call) -> Step:
    """The step with a tensor for whatever rests now or acts as it is, but may not at another step: 0 or 1."""
    scales = []
    for application, scale in zip(applications, step.scales, strict=True):
        strength = application.strength
        if strength.whole_run or isinstance(scale, torch.Tensor):
            scales.append(scale)
        else:
            count = len(strength.frames or (1,))
            scales.append(torch.full((count,), 0.0 if scale is None else 1.0, device=call.device, dtype=call.dtype))
    return step._replace(scales=tuple(scales))


def prepare(applications: list[Application], step: Step, rows: Rows | None, call: Call) -> str:
    """Has masks ready that a compiled layer only reads; returns the name of the program that the layers now make up."""
    like = torch.empty(0, device=call.device, dtype=call.dtype)
    for application in applications:
        if application.mask is not None and rows is not None:
            for halvings in range(HALVINGS):
                grid = tuple(-(-side // 2**halvings) for side in call.latent)
                for area in set(rows.areas):
                    application.mask_weights(like, grid, area)
    parts = [_structure(application, call) for application in applications]
    scales = [scale.shape if isinstance(scale, torch.Tensor) else scale for scale in step.scales]
    return f"ipadapter_core_{hash((tuple(parts), tuple(scales), rows, step.pictures)) & 0xFFFFFFFFFFFF:x}"


def _structure(application: Application, call: Call) -> tuple:
    """Everything about an application that a compiled program takes as given."""
    shapes = tuple(
        layer and tuple(None if part is None else tuple(part.shape) for part in layer)
        for layer in application.placed(call.device, call.dtype)
    )
    mask = None if application.mask is None else tuple(application.mask.shape)
    return application.blocks, application.per_frame, application.strength.scaling, mask, shapes
