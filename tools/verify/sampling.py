"""A checkpoint in ComfyUI, sampled at a small size, and every call that its network got."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

import comfy.sample
import comfy.sd
from comfy.model_patcher import ModelPatcher

from ...ipadapter_core.checkpoint.enums import BaseModel
from . import kolors
from .found import Checkpoint

TEXT_TOKENS = 77
POOLED = {BaseModel.SDXL: 1280, BaseModel.KOLORS: kolors.POOLED}  # channels of the text's vector beside the sizes
CFG = 2.0  # both passes, the reference's negative among them


class Call(NamedTuple):
    """What the network was given, and what it returned; `passes` are 0 for positive rows, 1 for negative ones."""

    latent: Tensor
    timestep: Tensor
    text: Tensor
    pooled: Tensor | None
    guidance: Tensor | None
    passes: tuple[int, ...]
    output: Tensor


class Sampled(NamedTuple):
    """Latents, and the calls that led to them."""

    latents: Tensor
    calls: list[Call]


def load(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> ModelPatcher:
    """The diffusion model in full precision, by ComfyUI's own loaders."""
    if checkpoint.base is BaseModel.KOLORS:
        return kolors.load(checkpoint.path, dtype)
    options = {"dtype": dtype}
    if not checkpoint.whole:
        return comfy.sd.load_diffusion_model(str(checkpoint.path), model_options=options)
    given = {"output_vae": False, "output_clip": False, "model_options": options}
    return comfy.sd.load_checkpoint_guess_config(str(checkpoint.path), **given)[0]


def sample(model: ModelPatcher, base: BaseModel, pixels: int, steps: int) -> Sampled:
    """From the same noise and text every time."""
    calls: list[Call] = []
    given_before: list[tuple[tuple[Any, ...], dict[str, Any]]] = []  # before a text projection of the network's own
    network = model.model.diffusion_model
    before = network.register_forward_pre_hook(
        lambda _, *given: given_before.append(given), prepend=True, with_kwargs=True
    )
    after = network.register_forward_hook(lambda _, __, output: calls.append(_call(*given_before[-1], output)))
    latent = model.model.latent_format
    shape = (1, latent.latent_channels, *((1,) if latent.latent_dimensions == 3 else ()), pixels // 8, pixels // 8)
    noise = _noise(shape, 5)
    texts = [_conditioning(model, base, pixels, seed) for seed in (6, 7)]
    given = {"seed": 1, "disable_pbar": True}
    try:
        out = comfy.sample.sample(model, noise, steps, CFG, "euler", "simple", *texts, torch.zeros_like(noise), **given)
    finally:
        before.remove()
        after.remove()
    return Sampled(out, calls)


def _call(args: tuple[Any, ...], given: dict[str, Any], output: Tensor) -> Call:
    passes = tuple(given["transformer_options"]["cond_or_uncond"])
    tensors = (args[0], args[1], given["context"], given.get("y"), given.get("guidance"), output)
    kept = [None if one is None else one.detach().clone() for one in tensors]
    return Call(*kept[:5], passes, kept[5])


def _conditioning(model: ModelPatcher, base: BaseModel, pixels: int, seed: int) -> list[list[Any]]:
    sizes = model.model.model_config.unet_config
    width = sizes.get("context_dim") or sizes.get("context_in_dim") or sizes.get("crossattn_emb_channels")
    width = width or sizes["context_embedder_config"]["params"]["in_features"]
    pooled = POOLED.get(base) or sizes.get("vec_in_dim") or sizes.get("adm_in_channels") or 1280
    if base is BaseModel.KOLORS:
        width = model.model.diffusion_model.encoder_hid_proj.in_features
    more = {"pooled_output": _noise((1, pooled), seed), "guidance": 3.5, "width": pixels, "height": pixels}
    more |= {"target_width": pixels, "target_height": pixels, "crop_w": 0, "crop_h": 0}
    return [[_noise((1, TEXT_TOKENS, width), seed), more]]


def _noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
