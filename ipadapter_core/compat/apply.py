"""Requests of old workflows on a model."""

from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from ..checkpoint.spec import BaseModel
from ..errors import ModelMismatchError
from ..patchers.apply import apply_image_prompt
from ..prompt.image_prompt import ImagePrompt
from .embeds import Embeds
from .encode import encode_request, prompt_of_embeds
from .pipeline import Pipeline
from .request import Half, Request, halves
from .weight_types import Results


class Applied(NamedTuple):
    """The patched model, and the faces (F, S, S, 3) that were looked at, if any."""

    model: Any
    faces: Tensor | None = None


def apply_request(model: Any, pipeline: Pipeline, request: Request) -> Applied:
    """A clone of the model that attends to the request's images."""
    encoded = encode_request(pipeline, request)
    for half in halves(request):
        model = _apply(model, pipeline, request, encoded.prompt, half)
    return Applied(model, encoded.faces)


def apply_embeds(model: Any, pipeline: Pipeline, request: Request, features: Embeds, negative: Embeds | None) -> Any:
    """A clone of the model that attends to embeds."""
    prompt = prompt_of_embeds(pipeline, features, negative, request.clip_vision, Results(request.results))
    for half in halves(request):
        model = _apply(model, pipeline, request, prompt, half)
    return model


def apply_style_and_composition(model: Any, pipeline: Pipeline, style: Request, composition: Tensor) -> Any:
    """A clone of the model that takes its style from the request's image and its composition from another.

    Raises `ModelMismatchError` where the results should be as they were and there were none, which is without SDXL.
    """
    base = pipeline.adapter.spec.base
    if style.as_plus and base is not BaseModel.SDXL:
        raise ModelMismatchError(
            f"IPAdapter_plus had style and composition for SDXL only, {pipeline.adapter.spec.file} is for {base.value}: set "
            "results of this node to corrected"
        )
    prompts = [encode_request(pipeline, request).prompt for request in (style, replace(style, image=composition))]
    for prompt, half in zip(prompts, halves(style), strict=True):
        model = _apply(model, pipeline, style, prompt, half)
    return model


def _apply(model: Any, pipeline: Pipeline, request: Request, prompt: ImagePrompt, half: Half) -> Any:
    adapter = pipeline.adapter
    translated = adapter.spec.projector.context_width != adapter.spec.text_width
    adapter = replace(adapter, gain=request.weight_kolors) if translated else adapter
    return apply_image_prompt(model, adapter, prompt, half.strength, request.mask, request.unfold, half.layers)
