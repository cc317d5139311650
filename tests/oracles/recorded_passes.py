"""Runs through ComfyUI's own samplers and guiders, and an independent computation of each single pass to hold them to."""

from typing import NamedTuple

import torch
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families.unet import layer_map
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.ipadapter_core.sampling.strength import Strength
from pack.tools.miniature.models import adapter_weights, managed, tiny_model, widths_of
from torch import Tensor

import comfy.patcher_extension
import comfy.sample
import comfy.samplers

SHORT = {
    "channel_mult": [1, 2], "num_res_blocks": [1, 1], "transformer_depth": [1, 1], "transformer_depth_output": [1] * 4,
}  # fmt: skip
WIDTH, FEATURES = 96, 64
EULER = "euler"


def short_model(dtype=torch.float32, seed: int | None = 0, **changes):
    """SD1.5's structure with seven cross-attention layers."""
    return tiny_model("SD1.5", dtype=dtype, seed=seed, **SHORT | changes)


def short_adapter(model, seed: int = 1, dtype=None):
    """A base adapter for a model."""
    return managed(adapter_weights("base", widths_of(model), WIDTH, seed=seed), dtype)


def picture(seed: int) -> EncodedImage:
    """Features as an image encoder would make them, with a negative that is as strong and altogether different."""
    generator = torch.Generator().manual_seed(seed)
    positive, negative = torch.randn(2, 1, FEATURES, generator=generator)
    return EncodedImage(positive, negative)


def prompt_of(*images: EncodedImage) -> ImagePrompt:
    """Images that act together, as pooled features."""
    return ImagePrompt(tuple(Reference(image) for image in images), Feature.POOLED, "a test")


def patched(model, adapter, image=None, strength=None, **more):
    """The model with one image prompt."""
    return apply_image_prompt(model, adapter, prompt_of(image or picture(2)), strength or Strength(), **more)


def text(seed: int, **values) -> list:
    """A CONDITIONING with values of its own."""
    return [[torch.randn(1, 7, WIDTH, generator=torch.Generator().manual_seed(100 + seed)), dict(values)]]


def noise(batch: int = 1, height: int = 16, width: int = 16, seed: int = 7) -> Tensor:
    """Seeded latent noise."""
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(seed))


def sample(
    model,
    cfg: float = 4.0,
    steps: int = 2,
    latent: Tensor | None = None,
    conds=None,
    scheduler: str = "normal",
    **options,
) -> Tensor:
    """An image by ComfyUI's KSampler."""
    start = noise() if latent is None else latent
    positive, negative = conds or (text(0), text(1))
    blank = torch.zeros_like(start)
    return comfy.sample.sample(
        model, start, steps, cfg, EULER, scheduler, positive, negative, blank, disable_pbar=True, seed=3, **options
    )


def guide(guider, steps: int = 2, latent: Tensor | None = None) -> Tensor:
    """An image by SamplerCustomAdvanced's way through a guider."""
    start = noise() if latent is None else latent
    sampling = guider.model_patcher.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", steps)
    sampler = comfy.samplers.sampler_object(EULER)
    return guider.sample(start, torch.zeros_like(start), sampler, sigmas, disable_pbar=True, seed=3)


class Pass(NamedTuple):
    """One pass of one call of the UNet: what went in, and what came out."""

    latent: Tensor
    timestep: Tensor
    context: Tensor
    output: Tensor
    control: dict[str, list] | None = None


class Recorder:
    """Notes every pass that the UNet runs, and how many ran together in each call."""

    def __init__(self, model):
        self.model = model.clone()
        self.passes: list[Pass] = []
        self.together: list[int] = []
        self.model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "recorder", self._call)

    def _call(self, executor, x, timesteps, context, y, control, options, **kwargs):
        count = len(options["cond_or_uncond"])
        controls = [
            control and {name: _parts(list_, count, i) for name, list_ in control.items()} for i in range(count)
        ]
        output = executor(x, timesteps, context, y, control, options, **kwargs)
        parts = [part.clone().chunk(count) for part in (x, timesteps, context, output)]
        self.passes += [Pass(*each) for each in zip(*parts, controls, strict=True)]
        self.together.append(count)
        return output


def _parts(tensors: list, count: int, index: int) -> list:
    return [one if one is None else one.chunk(count)[index] for one in tensors]


class NaiveAttention:
    """One layer of the reference: what is there without us, and `weight` times attention to one side of the bank."""

    def __init__(self, key: Tensor, value: Tensor, weight: float, base=None):
        self.key, self.value, self.weight = key, value, weight
        self.base = base or (lambda query, key, value, options: attend(query, key, value, options["n_heads"]))

    def __call__(self, query, key, value, options):
        key_image, value_image = (part.expand(len(query), -1, -1) for part in (self.key, self.value))
        image = attend(query, key_image, value_image, options["n_heads"])
        return self.base(query, key, value, options) + self.weight * image


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """softmax(q k^T / sqrt(d)) v in float64."""
    dtype = query.dtype
    query, key, value = (part.double().unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    scores = (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)
    return (scores @ value).transpose(1, 2).flatten(2).to(dtype)


def naive_hooks(model, adapter, features: Tensor, weight: float = 1.0, base=None) -> dict:
    """Reference layers for one side: `features` (1, E) through the projector and each layer's own weights."""
    network = adapter.network
    with torch.no_grad():
        tokens = network.image_tokens(features)
        hooks = {}
        for layer, place in zip(adapter.spec.layers, layer_map(model.model.diffusion_model), strict=True):
            part = network.numbered_layer(layer.number)
            hooks[place.block] = NaiveAttention(part.to_k_ip(tokens), part.to_v_ip(tokens), weight, base)
    return hooks


def alone(model, one: Pass, hooks: dict, self_attention: dict | None = None, **options) -> Tensor:
    """What the bare UNet predicts for one pass by itself, under reference layers and other packs' options."""
    options |= {"patches_replace": {"attn2": hooks, "attn1": self_attention or {}}}
    control = one.control and {name: list(tensors) for name, tensors in one.control.items()}
    with torch.no_grad():
        return model.model.diffusion_model(
            one.latent, one.timestep, context=one.context, control=control, transformer_options=options
        )


def error(got: Tensor, expected: Tensor) -> float:
    """The norm of the difference over the norm of what was expected."""
    return float((got - expected).double().norm() / expected.double().norm())
