"""A guider with a scale for the text and one for the image prompts: three passes a step, each of which says its side itself."""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

import comfy.samplers
from comfy.model_patcher import ModelPatcher

from ..adapter.key_value_bank import NEGATIVE, POSITIVE
from ..sampling.image_guidance import GuidanceOrder, ImageGuidance, Predictions
from ..sampling.polarity import announced
from ..warn_once import warn_once
from .hooks.wrappers import applications_of

CALCULATE = "sampler_calc_cond_batch_function"  # ComfyUI's keys for packs that change guidance
BEFORE = "sampler_pre_cfg_function"
INSTEAD = "sampler_cfg_function"
AFTER = "sampler_post_cfg_function"
ALL_PASSES = "disable_cfg1_optimization"
OTHER_SIDE = "ipadapter_core"  # what the numbers of a middle pass' entries are made of, beside those of their originals

Options = dict[str, Any]
Entries = list[dict[str, Any]]


class GuidanceCall(NamedTuple):
    """What a step is about: the model, the noisy latent, the noise level, and what the model and its packs have set."""

    model: Any
    latent: Tensor
    sigma: Tensor
    options: Options


class Prompts(NamedTuple):
    """The entries of each pass; None where a step does not need it."""

    both: Entries | None
    neither: Entries | None
    one: Entries


class ImageGuider(comfy.samplers.CFGGuider):
    """ComfyUI's guider, with guidance by the image prompts apart from that by the text.

    ComfyUI knows of a positive and a negative prompt alone, so that ControlNets, areas and hooks come to both as ever; the
    pass in between is a copy of one of them that is on the other side.
    """

    def __init__(self, model: ModelPatcher):
        super().__init__(model)
        self.image = 1.0
        self.order = GuidanceOrder.IMAGE_FIRST

    def set_guidance(self, guidance: ImageGuidance) -> None:
        """The scales; that for the text is the one that ComfyUI and other packs know."""
        self.set_cfg(guidance.text)
        self.image, self.order = guidance.image, guidance.order

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: Options | None = None, seed: int | None = None
    ) -> Tensor:
        """The denoised latent of a step."""
        options = model_options or {}
        guidance = ImageGuidance(self.cfg, self.image, self.order)
        if not applications_of(options.get("transformer_options", {})):
            warn_once("no image prompt is applied to the model of Image Prompt Guider: its text_scale alone counts")
            guidance = guidance._replace(image=guidance.text)
        if guidance.is_plain:
            return super().predict_noise(x, timestep, options, seed)
        call = GuidanceCall(self.inner_model, x, timestep, options)
        prompts = _prompts(guidance, self.conds["positive"], self.conds["negative"], options)
        found = _changed_before(call, guidance, prompts, _predictions(call, prompts))
        return _changed_after(call, guidance, prompts, found, _guided(call, guidance, prompts, found))


def _prompts(guidance: ImageGuidance, positive: Entries, negative: Entries, options: Options) -> Prompts:
    """A pass that the scales make needless is left out, unless other packs want to see all."""
    first = guidance.order is GuidanceOrder.IMAGE_FIRST
    one = announced(negative, POSITIVE) if first else announced(positive, NEGATIVE)
    every, needed = bool(options.get(ALL_PASSES)), guidance.needed
    watched = every or any(options.get(key) for key in (BEFORE, INSTEAD, AFTER))
    return Prompts(
        announced(positive, POSITIVE) if needed.both or watched else None,
        announced(negative, NEGATIVE) if needed.neither or every else None,
        [entry | {"uuid": uuid.uuid5(entry["uuid"], OTHER_SIDE)} for entry in one],
    )


def _predictions(call: GuidanceCall, prompts: Prompts) -> Predictions:
    """All passes at once; the middle one stands for those that are left out."""
    conds = list(prompts)
    if CALCULATE in call.options:
        found = call.options[CALCULATE](_arguments(call) | {"conds": conds})
    else:
        found = comfy.samplers.calc_cond_batch(call.model, conds, call.latent, call.sigma, call.options)
    both, neither, one = found
    return Predictions(one if prompts.both is None else both, one if prompts.neither is None else neither, one)


def _changed_before(call: GuidanceCall, guidance: ImageGuidance, prompts: Prompts, found: Predictions) -> Predictions:
    """What packs make of the predictions that look at them first."""
    for change in call.options.get(BEFORE, ()):
        given = {"conds": list(prompts), "conds_out": list(found), "cond_scale": guidance.text, "timestep": call.sigma}
        changed: Sequence[Tensor] = change(_arguments(call) | given)
        found = Predictions(*changed, *found[len(changed) :])
    return found


def _guided(call: GuidanceCall, guidance: ImageGuidance, prompts: Prompts, found: Predictions) -> Tensor:
    """The sum, or what a pack makes in its place of the two predictions that would come to this sum."""
    guided = guidance.guided(found)
    if INSTEAD not in call.options:
        return guided
    scale = guidance.text or 1.0
    alike = found.neither + (guided - found.neither) / scale
    options = {key: value for key, value in call.options.items() if key != AFTER}
    return comfy.samplers.cfg_function(
        call.model, alike, found.neither, scale, call.latent, call.sigma, options, prompts.both, prompts.neither
    )


def _changed_after(
    call: GuidanceCall, guidance: ImageGuidance, prompts: Prompts, found: Predictions, guided: Tensor
) -> Tensor:
    """What packs make of the result."""
    given = {"cond": prompts.both, "uncond": prompts.neither, "cond_scale": guidance.text}
    given |= {"cond_denoised": found.both, "uncond_denoised": found.neither}
    for change in call.options.get(AFTER, ()):
        guided = change(_arguments(call) | given | {"denoised": guided})
    return guided


def _arguments(call: GuidanceCall) -> Options:
    """What ComfyUI tells every pack that changes guidance."""
    return {"model": call.model, "input": call.latent, "sigma": call.sigma, "model_options": call.options}
