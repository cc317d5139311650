"""Workflows that provoke each error about a model that another pack calls in a way that an adapter cannot follow."""

from collections.abc import Callable
from typing import Any

import torch
from pack.ipadapter_core.patchers.hooks.wrappers import RUN
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import TEXT, Workshop

import comfy.sample
import comfy.samplers
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

Cut = Callable[[torch.Tensor], torch.Tensor]
APPLY = WrappersMP.APPLY_MODEL
SPLITTER = "a node that splits the batch"
HALF = torch.ones(1, 8, 8).tril()


def a_batch_that_is_split_inside(shop: Workshop) -> Step:
    """Copies of some rows around the network, as an engine hands them to one of several GPUs; both texts are the same."""
    return _around_the_checkpoint(shop, WrappersMP.DIFFUSION_MODEL, lambda one: one[:1].clone())


def a_batch_that_is_split_further_inside(shop: Workshop) -> Step:
    """The same by a wrapper that nobody outside of the network sees."""
    applied = shop.applied(shop.checkpoint(), shop.adapter())
    cut = Step(SPLITTER, {"model": applied}, make=lambda: _split(applied.value(), APPLY, _first))
    return Step("KSampler", {"model": cut}, make=lambda: _sample(cut.value()))


def a_batch_that_is_split_around(shop: Workshop) -> Step:
    """The same around the whole call, which still names both passes."""
    return _around_the_checkpoint(shop, APPLY, _first)


def a_call_that_names_no_passes(shop: Workshop) -> Step:
    """A pack that calls the model with options of its own."""

    def nameless(executor: Any, *args: Any, **kwargs: Any) -> Any:
        *rest, options = args
        return executor(*rest, {key: one for key, one in options.items() if key != "cond_or_uncond"}, **kwargs)

    split = Step("a node that calls the model", make=lambda: _wrapped(shop.checkpoint().value(), APPLY, nameless))
    applied = shop.applied(split, shop.adapter())
    return Step("KSampler", {"model": applied}, make=lambda: _sample(applied.value()))


def images_that_are_shown_in_part(shop: Workshop) -> Step:
    """Two images of one pass where two passes are named."""
    return _around_the_checkpoint(shop, APPLY, lambda one: one[:2], images=2)


def a_part_of_the_canvas_that_is_not_there(shop: Workshop) -> Step:
    """A mask, and a pack that shows the model a smaller latent of values of its own."""
    mask = Step("Load Image (as Mask)", make=lambda: HALF)
    smaller = _shrunk(APPLY)
    split = Step("a node that changes the latent", make=lambda: smaller(shop.checkpoint().value()))
    applied = shop.applied(split, shop.adapter(), mask=mask)
    return Step("KSampler", {"model": applied}, make=lambda: _sample(applied.value()))


def prompts_that_a_guider_hides(shop: Workshop) -> Step:
    """Another pack's guider that asks with prompts of its own, and does not say which is which."""
    return _by_guider(shop, HidingGuider)


def many_prompts_without_a_guider(shop: Workshop) -> Step:
    """A sampling loop of another pack's own, which nobody has told about any guider."""
    return _by_guider(shop, LonelyLoop)


def _by_guider(shop: Workshop, kind: type[comfy.samplers.CFGGuider]) -> Step:
    applied = shop.applied(shop.checkpoint(), shop.adapter())
    guider = Step("a guider of another pack", {"model": applied}, make=lambda: kind(applied.value()))
    return Step("SamplerCustomAdvanced", {"guider": guider}, make=lambda: _guided(guider.value()))


class HidingGuider(comfy.samplers.CFGGuider):
    """Its conditionings are copies under numbers of their own."""

    def predict_noise(self, x: Any, timestep: Any, model_options: Any = None, seed: Any = None) -> torch.Tensor:
        """Both lists in one call."""
        lists = [
            [entry | {"uuid": object(), "cross_attn": entry["cross_attn"].clone()} for entry in entries]
            for entries in self.conds.values()
        ]
        return comfy.samplers.calc_cond_batch(self.inner_model, lists, x, timestep, model_options)[0]


class LonelyLoop(comfy.samplers.CFGGuider):
    """It asks for three prompts at once; what was noted at the beginning of the run is gone."""

    def predict_noise(self, x: Any, timestep: Any, model_options: Any = None, seed: Any = None) -> torch.Tensor:
        """Three lists in one call."""
        bare = {key: one for key, one in model_options["transformer_options"].items() if key != RUN}
        lists, options = [*self.conds.values(), self.conds["positive"]], model_options | {"transformer_options": bare}
        return comfy.samplers.calc_cond_batch(self.inner_model, lists, x, timestep, options)[0]


def _guided(guider: comfy.samplers.CFGGuider) -> torch.Tensor:
    text, blank = [[torch.zeros(1, 7, TEXT["SD1.5"]), {}]], torch.zeros(1, 4, 8, 8)
    guider.set_conds(text, text)
    return guider.sample(blank, blank, comfy.samplers.sampler_object("euler"), torch.tensor([1.0, 0.0]), seed=1)


def _around_the_checkpoint(shop: Workshop, place: str, cut: Cut, images: int = 1) -> Step:
    split = Step(SPLITTER, make=lambda: _split(shop.checkpoint().value(), place, cut))
    applied = shop.applied(split, shop.adapter())
    return Step("KSampler", {"model": applied}, make=lambda: _sample(applied.value(), images))


def _first(one: torch.Tensor) -> torch.Tensor:
    return one[:1]


def _shrunk(place: str) -> Callable[[ModelPatcher], ModelPatcher]:
    def wrapper(executor: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return executor(x[..., :4, :4] * 1.5, *args, **kwargs)

    return lambda model: _wrapped(model, place, wrapper)


def _split(model: ModelPatcher, place: str, cut: Cut) -> ModelPatcher:
    def wrapper(executor: Any, x: torch.Tensor, t: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rest = [cut(one) if isinstance(one, torch.Tensor) and one.shape[0] > 1 else one for one in args]
        return executor(cut(x), cut(t), *rest, **kwargs)

    return _wrapped(model, place, wrapper)


def _wrapped(model: ModelPatcher, place: str, wrapper: Any) -> ModelPatcher:
    split = model.clone()
    split.add_wrapper_with_key(place, "splitter", wrapper)
    return split


def _sample(model: ModelPatcher, images: int = 1) -> torch.Tensor:
    blank, text = torch.zeros(images, 4, 8, 8), [[torch.zeros(1, 7, TEXT["SD1.5"]), {}]]
    noise = torch.randn(blank.shape, generator=torch.Generator().manual_seed(1))
    return comfy.sample.sample(model, noise, 1, 4.0, "euler", "normal", text, text, blank, disable_pbar=True, seed=1)


SAMPLING_GRAPHS = (
    a_batch_that_is_split_inside, a_batch_that_is_split_further_inside, a_batch_that_is_split_around,
    a_call_that_names_no_passes, images_that_are_shown_in_part, prompts_that_a_guider_hides,
    many_prompts_without_a_guider, a_part_of_the_canvas_that_is_not_there,
)  # fmt: skip
