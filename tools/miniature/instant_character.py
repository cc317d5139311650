"""InstantCharacter in miniature: keys and shapes of its file, features such as its encode node makes, and its equations."""

import math

import torch
from pack.tools.miniature.faces import affine, norm, perceiver_layer
from pack.tools.miniature.pulid import part_of
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, silu

Shapes = dict[str, tuple[int, ...]]
HEAD, BLOCK_HEAD, RESAMPLER_HEAD = 128, 64, 64  # channels: of FLUX, of the blocks before the resampler, and of that
FEATURE, PATCHES = 128, 4  # the miniature's width of both encoders together, and patches of one look


def transformer_block(name: str, width: int) -> Shapes:
    """Self-attention, cross-attention and a gated pair of layers, as diffusers names them."""
    shapes: Shapes = {}
    for number in (1, 2, 3):
        shapes |= norm(f"{name}.norm{number}", width)
    for part in ("attn1", "attn2"):
        shapes |= {f"{name}.{part}.to_{side}.weight": (width, width) for side in "qkv"}
        shapes |= affine(f"{name}.{part}.to_out.0", width, width)
    return shapes | affine(f"{name}.ff.net.0.proj", 8 * width, width) | affine(f"{name}.ff.net.2", width, 4 * width)


def time_resampler(feature: int, width: int, tokens: int, context: int, time: int, depth: int) -> Shapes:
    """Learned latents whose norms the time moves."""
    shapes: Shapes = {
        "latents": (1, tokens, width), **affine("proj_in", width, feature), **affine("proj_out", context, width),
        **norm("norm_out", context), **affine("time_embedding.linear_1", width, time),
        **affine("time_embedding.linear_2", width, width),
    }  # fmt: skip
    for number in range(depth):
        shapes |= perceiver_layer(f"layers.{number}", width, width)
        shapes |= affine(f"layers.{number}.2.1", 4 * width, width)
    return shapes


def instant_character(
    layers: int,
    width: int,
    context: int = 64,
    feature: int = FEATURE,
    hidden: int = 128,
    tokens: int = 6,
    time: int = 32,
    blocks: int = 2,
) -> Shapes:
    """The keys of its file for FLUX.1, flat; the published one has 4 blocks of either kind and a resampler as deep."""
    shapes: Shapes = {}
    for kind in ("cross_layer_blocks", "cross_scale_blocks"):
        for number in range(blocks):
            shapes |= transformer_block(f"{kind}.{number}", feature)
    for name in ("proj", "proj_cross_layer", "proj_cross_scale"):
        shapes |= affine(f"{name}.fc1", 2 * feature, feature) | affine(f"{name}.fc2", feature, 2 * feature)
    resampler = time_resampler(feature, hidden, tokens, context, time, blocks)
    shapes |= {f"resampler.{key}": shape for key, shape in resampler.items()}
    shapes = {f"image_proj.{key}": shape for key, shape in shapes.items()}
    for number in range(layers):
        name = f"ip_adapter.{number}"
        shapes |= affine(f"{name}.to_k_ip", width, context) | affine(f"{name}.to_v_ip", width, context)
        shapes |= {f"{name}.norm_ip_q.scale": (HEAD,), f"{name}.norm_ip_k.scale": (HEAD,)}
    return shapes


def character_weights(shapes: Shapes, seed: int = 1) -> dict[str, Tensor]:
    """Seeded weights that give the adapter a clear effect; gains are near one."""
    generator, weights = torch.Generator().manual_seed(seed), {}
    for key, shape in sorted(shapes.items()):
        noise = torch.randn(shape, generator=generator) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.1)
        gain = len(shape) == 1 and key.endswith((".weight", ".scale"))
        weights[key] = noise + 1.0 if gain else noise
    return weights


def nested(weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The published file's own layout: two dictionaries in one."""
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in weights.items():
        part, name = key.split(".", 1)
        parts[part][name] = tensor
    return parts


def character_features(seed: int = 8, feature: int = FEATURE, patches: int = PATCHES) -> tuple[Tensor, Tensor, Tensor]:
    """Deep (1, L, E), shallow (1, 3 L, E) and closer (1, 4 L, E) hidden states of an image."""
    generator = torch.Generator().manual_seed(seed)
    deep, shallow, closer = (torch.randn(1, times * patches, feature, generator=generator) for times in (1, 3, 4))
    return deep, shallow, closer


def stated_rms(tokens: Tensor, gain: Tensor) -> Tensor:
    """Over the last dimension: x / (root of the mean square + 1e-6) times a gain (models/norm_layer.py)."""
    return tokens / (tokens.square().mean(-1, keepdim=True).sqrt() + 1e-6) * gain


def stated_heads(tokens: Tensor, width: int) -> Tensor:
    """(B, L, D) -> (B, H, L, width)."""
    return tokens.unflatten(-1, (-1, width)).transpose(1, 2)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
    return (scores @ value).transpose(1, 2).flatten(2)


def _norm(part: dict[str, Tensor], name: str, tokens: Tensor, eps: float = 1e-5) -> Tensor:
    return layer_norm(tokens, tokens.shape[-1:], part[f"{name}.weight"], part[f"{name}.bias"], eps)


def _linear(part: dict[str, Tensor], name: str, tokens: Tensor) -> Tensor:
    return linear(tokens, part[f"{name}.weight"], part.get(f"{name}.bias"))


def stated_block(part: dict[str, Tensor], tokens: Tensor, source: Tensor) -> Tensor:
    """diffusers' BasicTransformerBlock with norms of 1e-6: to itself, to the source as it is, and a gated pair of layers."""

    def attended(name: str, asking: Tensor, asked: Tensor) -> Tensor:
        query = stated_heads(_linear(part, f"{name}.to_q", asking), BLOCK_HEAD)
        key, value = (stated_heads(_linear(part, f"{name}.to_{side}", asked), BLOCK_HEAD) for side in "kv")
        return _linear(part, f"{name}.to_out.0", _attention(query, key, value))

    own = _norm(part, "norm1", tokens, 1e-6)
    tokens = tokens + attended("attn1", own, own)
    tokens = tokens + attended("attn2", _norm(part, "norm2", tokens, 1e-6), source)
    hidden, gate = _linear(part, "ff.net.0.proj", _norm(part, "norm3", tokens, 1e-6)).chunk(2, -1)
    return tokens + _linear(part, "ff.net.2", hidden * gelu(gate))


def stated_reference(weights: dict[str, Tensor], features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """What does not depend on the step, (B, 2 L, E) in float64: models/resampler.py, CrossLayerCrossScaleProjector."""
    part = part_of(weights, "image_proj.")
    deep, shallow, closer = (one.double() for one in features)

    def blocks(kind: str, source: Tensor) -> Tensor:
        tokens = deep
        for number in range(len({key.split(".")[1] for key in part if key.startswith(kind)})):
            tokens = stated_block(part_of(part, f"{kind}.{number}."), tokens, source)
        return tokens

    def pair(name: str, tokens: Tensor) -> Tensor:
        return _linear(part, f"{name}.fc2", gelu(_linear(part, f"{name}.fc1", tokens), approximate="tanh"))

    across = pair("proj", deep) + pair("proj_cross_scale", blocks("cross_scale_blocks", closer))
    return torch.cat((across, pair("proj_cross_layer", blocks("cross_layer_blocks", shallow))), 1)


def stated_tokens(weights: dict[str, Tensor], features: tuple[Tensor, Tensor, Tensor], timestep: Tensor) -> Tensor:
    """The image tokens (B, N, C) at timesteps (B), 0 to 1000, in float64: models/resampler.py, TimeResampler."""
    part = part_of(weights, "image_proj.resampler.")
    half = part["time_embedding.linear_1.weight"].shape[1] // 2
    angles = timestep.double()[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
    waves = torch.cat((angles.cos(), angles.sin()), -1)
    time = _linear(part, "time_embedding.linear_2", silu(_linear(part, "time_embedding.linear_1", waves)))
    source = _linear(part, "proj_in", stated_reference(weights, features)) + time[:, None]
    latents = part["latents"].expand(len(source), -1, -1)
    for number in range(len({key.split(".")[1] for key in part if key.startswith("layers.")})):
        layer = part_of(part, f"layers.{number}.")
        shift, scale, later_shift, later_scale = _linear(layer, "2.1", silu(time))[:, None].chunk(4, -1)
        asking = _norm(layer, "0.norm2", latents) * (1 + scale) + shift
        seen = torch.cat((_norm(layer, "0.norm1", source), asking), 1)
        query = stated_heads(_linear(layer, "0.to_q", asking), RESAMPLER_HEAD)
        key, value = (stated_heads(one, RESAMPLER_HEAD) for one in _linear(layer, "0.to_kv", seen).chunk(2, -1))
        latents = latents + _linear(layer, "0.to_out", _attention(query, key, value))
        hidden = _norm(layer, "1.0", latents) * (1 + later_scale) + later_shift
        latents = latents + _linear(layer, "1.3", gelu(_linear(layer, "1.1", hidden)))
    return _norm(part, "norm_out", _linear(part, "proj_out", latents))


def stated_layer(weights: dict[str, Tensor], number: int, tokens: Tensor, query: Tensor) -> Tensor:
    """What one layer adds, (B, L, D), for the query (B, H, L, D / H) before any norm: models/attn_processor.py."""
    part = part_of(weights, f"ip_adapter.{number}.")
    key, value = (stated_heads(_linear(part, f"to_{side}_ip", tokens), HEAD) for side in "kv")
    asking = stated_rms(query.double(), part["norm_ip_q.scale"])
    return _attention(asking, stated_rms(key, part["norm_ip_k.scale"]), value)
