"""Graphs that provoke each error about a model that another pack calls in a way that an adapter cannot follow."""

from typing import Any

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import TEXT, Workshop

import comfy.sample
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP


def a_batch_that_is_split_inside(shop: Workshop) -> Step:
    """Some of the rows of a model call, as an engine hands them to one of several GPUs."""
    return _sampled(shop, WrappersMP.DIFFUSION_MODEL)


def a_batch_that_is_split_around(shop: Workshop) -> Step:
    """The same around the whole call, which still names both passes."""
    return _sampled(shop, WrappersMP.APPLY_MODEL)


def _sampled(shop: Workshop, place: str) -> Step:
    split = Step("a node that splits the batch", make=lambda: _split(shop.checkpoint().value(), place))
    applied = shop.applied(split, shop.adapter())
    return Step("KSampler", {"model": applied}, make=lambda: _sample(applied.value()))


def _split(model: ModelPatcher, place: str) -> ModelPatcher:
    def first_row(executor: Any, x: torch.Tensor, t: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        cut = [one[:1] if isinstance(one, torch.Tensor) and one.shape[0] > 1 else one for one in args]
        return executor(x[:1], t[:1], *cut, **kwargs)

    split = model.clone()
    split.add_wrapper_with_key(place, "splitter", first_row)
    return split


def _sample(model: ModelPatcher) -> torch.Tensor:
    blank, text = torch.zeros(1, 4, 8, 8), [[torch.zeros(1, 7, TEXT["SD1.5"]), {}]]
    return comfy.sample.sample(model, blank, 1, 4.0, "euler", "normal", text, text, blank, disable_pbar=True, seed=1)


SAMPLING_GRAPHS = (a_batch_that_is_split_inside, a_batch_that_is_split_around)
