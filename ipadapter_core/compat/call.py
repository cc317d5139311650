"""One call for all apply nodes of ComfyUI_IPAdapter_plus: its arguments say which of them is meant."""

from dataclasses import fields
from typing import Any

from ..weights.layer_presets import LayerPreset
from .apply import Applied, apply_request, apply_style_and_composition
from .pipeline import Pipeline
from .request import Request

COLUMNS = ("image", "attn_mask", "weight", "weight_type", "start_at", "end_at")  # the names in other packs' params, too
FIELDS = frozenset(field.name for field in fields(Request)) - {"unfold"}


def apply_call(model: Any, pipeline: Pipeline, inputs: dict[str, Any], unfold: bool = False) -> Applied:
    """A clone of the model under a reference, under style and composition, or under each region of `ipadapter_params`."""
    given = {name: value for name, value in inputs.items() if value is not None}
    if "ipadapter_params" in given:
        return _apply_rows(model, pipeline, given, unfold)
    if "image_style" in given:
        return _apply_style(model, pipeline, given, unfold)
    return apply_request(model, pipeline, _request(given, unfold))


def _apply_rows(model: Any, pipeline: Pipeline, given: dict[str, Any], unfold: bool) -> Applied:
    """One application for each row that has an image."""
    params = given.pop("ipadapter_params")
    applied = Applied(model)
    for values in zip(*(params[column] for column in COLUMNS), strict=True):
        row = dict(zip(COLUMNS, values, strict=True))
        if row["image"] is not None:
            applied = apply_request(applied.model, pipeline, _request(given | row, unfold))
    return applied


def _apply_style(model: Any, pipeline: Pipeline, given: dict[str, Any], unfold: bool) -> Applied:
    """Two halves of one weight type; without a composition the style's image is both."""
    image = given.pop("image_style")
    composition = given.pop("image_composition", image)
    expand, weight = given.pop("expand_style", False), given.pop("weight_style", 1.0)
    kind = LayerPreset.STRONG_STYLE_AND_COMPOSITION if expand else LayerPreset.STYLE_AND_COMPOSITION
    style = _request(given | {"image": image, "weight": weight, "weight_type": kind.value}, unfold)
    return Applied(apply_style_and_composition(model, pipeline, style, composition))


def _request(given: dict[str, Any], unfold: bool) -> Request:
    return Request(**{name: value for name, value in given.items() if name in FIELDS}, unfold=unfold)
