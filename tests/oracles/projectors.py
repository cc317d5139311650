"""The published equations of the projectors, written once more as plain functions of a flat state dict.

Nothing is shared with the pack: matrix products, explicit softmax, no modules. Runs in whatever dtype the weights have.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

Weights = dict[str, Tensor]


def below(weights: Weights, prefix: str) -> Weights:
    """The weights under a prefix, without it."""
    return {key[len(prefix) :]: tensor for key, tensor in weights.items() if key.startswith(prefix)}


def affine(weights: Weights, name: str, x: Tensor) -> Tensor:
    """W x + b, b where there is one."""
    out = x @ weights[f"{name}.weight"].T
    return out + weights[f"{name}.bias"] if f"{name}.bias" in weights else out


def norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    """Layer norm."""
    return layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def perceive(weights: Weights, x: Tensor, latents: Tensor, heads: int) -> Tensor:
    """PerceiverAttention: latents attend to x and latents, 64 channels a head, scale 1 / sqrt(64)."""
    x, latents = norm(weights, "norm1", x), norm(weights, "norm2", latents)
    query = affine(weights, "to_q", latents)
    key, value = affine(weights, "to_kv", torch.cat((x, latents), dim=1)).chunk(2, dim=-1)
    outs = []
    for head in range(heads):
        part = slice(64 * head, 64 * head + 64)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(64)
        outs.append(torch.softmax(scores, dim=-1) @ value[..., part])
    return affine(weights, "to_out", torch.cat(outs, dim=-1))


def layer(weights: Weights, x: Tensor, latents: Tensor, heads: int) -> Tensor:
    """Attention and feed-forward, each with its residual."""
    latents = perceive(below(weights, "0."), x, latents, heads) + latents
    forward = below(weights, "1.")
    return affine(forward, "3", gelu(affine(forward, "1", norm(forward, "0", latents)))) + latents


def resampler(weights: Weights, x: Tensor, heads: int, depth: int) -> Tensor:
    """Learned latents through `depth` layers over x (B, L, E)."""
    x = affine(weights, "proj_in", x)
    latents = weights["latents"].expand(x.shape[0], -1, -1)
    for i in range(depth):
        latents = layer(below(weights, f"layers.{i}."), x, latents, heads)
    return norm(weights, "norm_out", affine(weights, "proj_out", latents))


def identity_tokens(weights: Weights, identity: Tensor) -> Tensor:
    """MLPProjModel of FaceID: (B, 512) -> (B, N, C)."""
    width = weights["norm.weight"].shape[0]
    out = affine(weights, "proj.2", gelu(affine(weights, "proj.0", identity)))
    return norm(weights, "norm", out.reshape(identity.shape[0], -1, width))


def face_plus(weights: Weights, identity: Tensor, appearance: Tensor, shortcut: bool, scale: float) -> Tensor:
    """ProjPlusModel: the identity's tokens are the latents; with the shortcut they are added again."""
    tokens = identity_tokens(weights, identity)
    inner = below(weights, "perceiver_resampler.")
    heads = inner["layers.0.0.to_q.weight"].shape[0] // 64
    x, latents = affine(inner, "proj_in", appearance), tokens
    for i in range(1 + max(int(key.split(".")[1]) for key in inner if key.startswith("layers."))):
        latents = layer(below(inner, f"layers.{i}."), x, latents, heads)
    out = norm(inner, "norm_out", affine(inner, "proj_out", latents))
    return tokens + scale * out if shortcut else out


def instructed(weights: Weights, picture: Tensor, instruction: Tensor, prompt: Tensor, depth: int) -> Tensor:
    """ResamplerInstructBigger: each step reads the image, then the prompt, then the instruction."""
    heads = weights["layers.0.0.to_q.weight"].shape[0] // 64
    x = affine(weights, "proj_in", picture)
    words, wanted = affine(weights, "proj_prompt_input", prompt), affine(weights, "proj_new_input", instruction)
    latents = weights["latents"].expand(picture.shape[0], -1, -1)
    for i in range(depth):
        latents = layer(below(weights, f"layers.{i}."), x, latents, heads)
        latents = layer(below(weights, f"prompt_layers.{i}."), words, latents, heads)
        latents = layer(below(weights, f"new_input_layers.{i}."), wanted, latents, heads)
    return norm(weights, "norm_out", affine(weights, "proj_out", latents))


def style_tokens(weights: Weights, features: Tensor) -> Tensor:
    """One matrix and a norm, as IP-Adapter-Art names them."""
    out = affine(weights, "image_embeds", features)
    return norm(weights, "norm", out.reshape(features.shape[0], -1, weights["norm.weight"].shape[0]))
