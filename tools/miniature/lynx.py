"""Lynx in miniature: keys and shapes of its two files under both publishers' names, and its equations stated anew."""

import math

import torch
from pack.tools.miniature.faces import perceiver_layer
from pack.tools.miniature.pulid import part_of
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

Shapes = dict[str, tuple[int, ...]]
IDENTITY = 512


def resampler(
    context: int, width: int = 128, inner: int = 128, tokens: int = 5, depth: int = 2, prefix: str = "image_proj."
) -> Shapes:
    """The second file, which has no prefix of its own; with one as the pack names it in one file."""
    shapes: Shapes = {
        "latents": (1, tokens, width), "proj_in.weight": (width, IDENTITY), "proj_in.bias": (width,),
        "proj_out.weight": (context, width), "proj_out.bias": (context,), "norm_out.weight": (context,),
        "norm_out.bias": (context,),
    }  # fmt: skip
    for number in range(depth):
        shapes |= perceiver_layer(f"layers.{number}", width, inner)
    return {f"{prefix}{key}": shape for key, shape in shapes.items()}


def lite_layers(layers: int, width: int, context: int = 64, by_block: bool = False) -> Shapes:
    """The layers of every second block, counted one by one as ByteDance does or by their block as Kijai does."""
    name = "blocks.{}.cross_attn.ip_adapter" if by_block else "{}"
    return {
        f"{name.format(number * (2 if by_block else 1))}.to_{part}_ip.weight": (width, context)
        for number in range(layers)
        for part in "kv"
    }


def full_layers(layers: int, width: int, context: int = 64, registers: int = 3, by_block: bool = False) -> Shapes:
    """The layers of every block, with biases and registers."""
    shapes: Shapes = {}
    for number in range(layers):
        name = f"blocks.{number}.cross_attn.ip_adapter" if by_block else f"{number}"
        for part in "kv":
            shapes |= {f"{name}.to_{part}_ip.weight": (width, context), f"{name}.to_{part}_ip.bias": (width,)}
        shapes[f"{name}.registers"] = (1, registers, context)
    return shapes


def lynx_lite(layers: int = 2, width: int = 128) -> Shapes:
    """Both files in one."""
    return lite_layers(layers, width, by_block=True) | resampler(64)


def lynx_full(layers: int = 4, width: int = 128) -> Shapes:
    """Both files in one."""
    return full_layers(layers, width, by_block=True) | resampler(64)


def stated_tokens(weights: dict[str, Tensor], identity: Tensor, prefix: str = "image_proj.") -> Tensor:
    """The image tokens (B, N, C) of identities (B, 512) in float64. bytedance/lynx, modules/common/resampler.py."""
    part = part_of(weights, prefix)

    def normed(name: str, given: Tensor) -> Tensor:
        return layer_norm(given, given.shape[-1:], part[f"{name}.weight"], part[f"{name}.bias"])

    def heads(given: Tensor) -> Tensor:
        return given.unflatten(-1, (-1, 64)).transpose(1, 2)

    x = linear(identity.double().unsqueeze(1), part["proj_in.weight"], part["proj_in.bias"])
    latents = part["latents"].expand(len(x), -1, -1)
    depth = 1 + max(int(key.split(".")[1]) for key in part if key.startswith("layers."))
    for number in range(depth):
        name = f"layers.{number}.0"
        source, own = normed(f"{name}.norm1", x), normed(f"{name}.norm2", latents)
        query = heads(own @ part[f"{name}.to_q.weight"].T)
        both = torch.cat((source, own), 1) @ part[f"{name}.to_kv.weight"].T
        key, value = (heads(one) for one in both.chunk(2, -1))
        seen = (query @ key.mT / math.sqrt(64)).softmax(-1) @ value
        latents = latents + seen.transpose(1, 2).flatten(2) @ part[f"{name}.to_out.weight"].T
        inner = gelu(normed(f"layers.{number}.1.0", latents) @ part[f"layers.{number}.1.1.weight"].T)
        latents = latents + inner @ part[f"layers.{number}.1.3.weight"].T
    return normed("norm_out", linear(latents, part["proj_out.weight"], part["proj_out.bias"]))


def stated_rms(given: Tensor, eps: float) -> Tensor:
    """Over all channels at once."""
    return given / (given.square().mean(-1, keepdim=True) + eps).sqrt()


def stated_attention(part: dict[str, Tensor], tokens: Tensor, query: Tensor, heads: int, gain: Tensor | None) -> Tensor:
    """What a layer adds before the block's projection, for its normalised query (B, L, D), in float64.

    With the `gain` of the model's own norm of keys as the full layers, otherwise as the lite ones.
    """
    if "registers" in part:
        tokens = torch.cat((tokens, part["registers"].expand(len(tokens), -1, -1)), 1)
    key, value = (linear(tokens, part[f"to_{one}_ip.weight"], part.get(f"to_{one}_ip.bias")) for one in ("k", "v"))
    key = stated_rms(key, 1e-5) if gain is None else stated_rms(key, 1e-6) * gain
    query, key, value = (one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in (query.double(), key, value))
    weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
    return (weights @ value).transpose(1, 2).flatten(2)
