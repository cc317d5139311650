"""A checkpoint in ComfyUI, sampled at a small size, and every call that its network got."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

import comfy.sample
import comfy.sd
from comfy.model_patcher import ModelPatcher

from ...ipadapter_core.checkpoint.enums import BaseModel
from .found import Checkpoint

TEXT_TOKENS = 77
CFG = 2.0  # both passes, the reference's negative among them


class Call(NamedTuple):
    """What the network was given, and what it returned; `passes` are 0 for positive rows, 1 for negative ones."""

    latent: Tensor
    timestep: Tensor
    text: Tensor
    pooled: Tensor | None
    passes: tuple[int, ...]
    output: Tensor


class Sampled(NamedTuple):
    """Latents, and the calls that led to them."""

    latents: Tensor
    calls: list[Call]


def load(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> ModelPatcher:
    """The diffusion model in full precision, by ComfyUI's own loaders."""
    options = {"dtype": dtype}
    if not checkpoint.whole:
        return comfy.sd.load_diffusion_model(str(checkpoint.path), model_options=options)
    given = {"output_vae": False, "output_clip": False, "model_options": options}
    return comfy.sd.load_checkpoint_guess_config(str(checkpoint.path), **given)[0]


def sample(model: ModelPatcher, base: BaseModel, pixels: int, steps: int) -> Sampled:
    """From the same noise and text every time."""
    calls: list[Call] = []
    network = model.model.diffusion_model
    handle = network.register_forward_hook(lambda *given: calls.append(_call(*given)), with_kwargs=True)
    latent = model.model.latent_format
    shape = (1, latent.latent_channels, *((1,) if latent.latent_dimensions == 3 else ()), pixels // 8, pixels // 8)
    noise = _noise(shape, 5)
    texts = [_conditioning(model, base, pixels, seed) for seed in (6, 7)]
    given = {"seed": 1, "disable_pbar": True}
    try:
        out = comfy.sample.sample(model, noise, steps, CFG, "euler", "simple", *texts, torch.zeros_like(noise), **given)
    finally:
        handle.remove()
    return Sampled(out, calls)


def _call(network: Any, args: tuple[Any, ...], given: dict[str, Any], output: Tensor) -> Call:
    passes = tuple(given["transformer_options"]["cond_or_uncond"])
    pooled = given.get("y")
    tensors = (args[0], args[1], given["context"], pooled, output)
    kept = [None if one is None else one.detach().clone() for one in tensors]
    return Call(*kept[:4], passes, kept[4])


def _conditioning(model: ModelPatcher, base: BaseModel, pixels: int, seed: int) -> list[list[Any]]:
    sizes = model.model.model_config.unet_config
    width = sizes.get("context_dim") or sizes.get("context_in_dim") or sizes.get("crossattn_emb_channels")
    width = width or sizes["context_embedder_config"]["params"]["in_features"]
    pooled = 1280 if base is BaseModel.SDXL else sizes.get("vec_in_dim") or sizes.get("adm_in_channels") or 1280
    more = {"pooled_output": _noise((1, pooled), seed), "guidance": 3.5, "width": pixels, "height": pixels}
    more |= {"target_width": pixels, "target_height": pixels, "crop_w": 0, "crop_h": 0}
    return [[_noise((1, TEXT_TOKENS, width), seed), more]]


def _noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
