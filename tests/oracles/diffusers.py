"""diffusers as the reference implementation: its UNets, loaded into ComfyUI's class, and its IP-Adapter on the same weights."""

from functools import cache
from typing import NamedTuple

import torch
from diffusers import UNet2DConditionModel
from pack.tools.miniature.models import UNETS, randomise, tiny_model
from torch import Tensor

import comfy.utils
from comfy.model_patcher import ModelPatcher

SMALL = {"sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 2}
SD15 = SMALL | {
    "block_out_channels": (32, 64, 64, 64), "attention_head_dim": 4, "cross_attention_dim": 96,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}  # fmt: skip
SDXL = SMALL | {
    "block_out_channels": (32, 64, 128), "attention_head_dim": (2, 4, 8), "cross_attention_dim": 96,
    "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",), "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
CONFIGS = {"SD1.5": SD15, "SDXL": SDXL}


class Twins(NamedTuple):
    """The same weights as diffusers' UNet and as a ComfyUI model."""

    base: str
    theirs: UNet2DConditionModel
    ours: ModelPatcher


class Call(NamedTuple):
    """One call of either UNet."""

    latent: Tensor
    timestep: Tensor
    text: Tensor
    pooled: Tensor
    time_ids: Tensor


@cache
def twins(base: str, dtype=torch.float32) -> Twins:
    """Random weights, loaded strictly into both; made once, so call `fresh` before use."""
    theirs = randomise(UNet2DConditionModel(**CONFIGS[base]), seed=3)
    sizes = UNETS[base][1]
    names = comfy.utils.unet_to_diffusers(sizes)
    weights = theirs.state_dict()
    ours = tiny_model(base, seed=None)
    ours.model.diffusion_model.load_state_dict({names[key]: tensor for key, tensor in weights.items() if key in names})
    ours.model.diffusion_model.to(dtype)
    ours.model.diffusion_model.dtype = dtype
    return Twins(base, theirs.to(dtype), ours)


def some_call(base: str, batch: int, dtype=torch.float32, size: int = 16) -> Call:
    """Seeded inputs."""
    generator = torch.Generator().manual_seed(5)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    timestep = torch.zeros(batch) if dtype is torch.float64 else torch.full((batch,), 321.0)
    width = CONFIGS[base]["cross_attention_dim"]
    ids = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]]).repeat(batch, 1) * (dtype is not torch.float64)
    return Call(
        noise(batch, 4, size, size), timestep.to(dtype), noise(batch, 7, width), noise(batch, 1280), ids.to(dtype)
    )


def run_theirs(pair: Twins, call: Call, image_embeds: list[Tensor] | None = None, **attention) -> Tensor:
    """diffusers' prediction; `image_embeds` are (B, n, ...) for each loaded adapter."""
    added = {"text_embeds": call.pooled, "time_ids": call.time_ids} if pair.base == "SDXL" else {}
    if image_embeds is not None:
        added["image_embeds"] = image_embeds
    with torch.no_grad():
        return pair.theirs(
            call.latent, call.timestep, call.text, added_cond_kwargs=added, cross_attention_kwargs=attention or None
        ).sample


def run_ours(pair: Twins, call: Call, options: dict | None = None) -> Tensor:
    """ComfyUI's prediction under transformer options."""
    y = None
    if pair.base == "SDXL":
        ids = pair.theirs.add_time_proj(call.time_ids.flatten()).reshape(call.time_ids.shape[0], -1)
        y = torch.cat((call.pooled, ids.to(call.pooled)), dim=-1)
    with torch.no_grad():
        return pair.ours.model.diffusion_model(
            call.latent, call.timestep, context=call.text, y=y, transformer_options=dict(options or {})
        )


def fresh(pair: Twins) -> None:
    """Takes every adapter off diffusers' UNet again."""
    pair.theirs.set_default_attn_processor()
    pair.theirs.encoder_hid_proj = None
    pair.theirs.config.encoder_hid_dim_type = None


def relative(difference: Tensor, to: Tensor) -> float:
    """The norm of a difference over a norm."""
    return float(difference.double().norm() / to.double().norm())
