"""Captions as a model takes them: ComfyUI's conditioning, prepared for each image and laid together for a batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

import comfy.sampler_helpers
import comfy.samplers

Entry = tuple[Tensor, dict[str, Any]]  # of ComfyUI's CONDITIONING: a text (1, T, C), and what comes with it


class CaptionedRows(NamedTuple):
    """Rows of a batch whose captions lie together, and the model's own arguments for them."""

    rows: tuple[int, ...]
    arguments: dict[str, Any]


def ordinary(entry: Sequence[Any]) -> Entry:
    """An entry of tensors that a backward pass may keep, which those made by ComfyUI's nodes are not."""
    text, more = entry
    return text.detach().clone(), {key: _ordinary(one) for key, one in more.items()}


def silent(entry: Entry) -> Entry:
    """The entry of a text that says nothing, as ComfyUI's *ConditioningZeroOut* makes it."""
    text, more = entry
    pooled = more.get("pooled_output")
    return torch.zeros_like(text), more if pooled is None else more | {"pooled_output": torch.zeros_like(pooled)}


def captioned(model: Any, entries: Sequence[Entry], latents: Tensor) -> list[CaptionedRows]:
    """The arguments under which a model sees a caption for each of latents (B, C, H, W).

    Captions that cannot lie in one batch, such as those of very different lengths, each have a part of it.
    """
    rows = [_prepared(model, entry, latents[place : place + 1]) for place, entry in enumerate(entries)]
    if all(_together(rows[0], other) for other in rows[1:]):
        return [CaptionedRows(tuple(range(len(rows))), _laid(rows))]
    return [CaptionedRows((place,), _laid([row])) for place, row in enumerate(rows)]


def _prepared(model: Any, entry: Entry, latent: Tensor) -> dict[str, Any]:
    """One caption's arguments, each as ComfyUI's own kind of condition."""
    conds = comfy.sampler_helpers.convert_cond([list(entry)])
    with torch.no_grad():
        (found,) = comfy.samplers.encode_model_conds(
            model.extra_conds, conds, latent, latent.device, "positive", latent_image=latent
        )
        conditions = cast(dict[str, Any], found["model_conds"])
        return {key: one.process_cond(batch_size=1, area=None) for key, one in conditions.items()}


def _together(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[key].can_concat(other[key]) for key in one)


def _laid(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, *others = rows
    return {key: first[key].concat([other[key] for other in others]) for key in first}


def _ordinary(given: Any) -> Any:
    return given.detach().clone() if isinstance(given, Tensor) else given
