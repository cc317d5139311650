"""Adapters and an image encoder of true size, filled with one stretch of noise over and over: values cost nothing here."""

from functools import cache
from math import prod

import torch
from torch import Tensor

from comfy.clip_vision import ClipVisionModel

from ...ipadapter_core.patchers.families.unet import layer_map
from .scenes import model_at_size

HIDDEN, POOLED = 1280, 1024  # of CLIP ViT-H/14
VIT_H = {
    "hidden_size": HIDDEN, "intermediate_size": 5120, "num_attention_heads": 16, "image_size": 224, "patch_size": 14,
    "projection_dim": POOLED, "hidden_act": "gelu", "num_channels": 3, "model_type": "clip_vision_model",
}  # fmt: skip
NOISE = 0.02  # standard deviation of every weight
DEPTH = 32  # layers of ViT-H/14

Shapes = dict[str, tuple[int, ...]]


def layer_shapes(model: str) -> Shapes:
    """Key and value projections of every cross-attention layer, below `ip_adapter.`."""
    layers = layer_map(model_at_size(model).model.diffusion_model)
    return {
        f"{2 * number + 1}.to_{part}_ip.weight": (layer.width, layer.context_width)
        for number, layer in enumerate(layers)
        for part in "kv"
    }


def projector_shapes(model: str, tokens: int) -> Shapes:
    """The published projector that makes so many tokens of one picture, below `image_proj.`: base, plus, full face."""
    context = 768 if model == "SD1.5" else 2048
    if tokens == 4:
        return {"proj.weight": (tokens * context, POOLED), "proj.bias": (tokens * context,), "norm.weight": (context,),
                "norm.bias": (context,)}  # fmt: skip
    if tokens == 257:
        return {"proj.0.weight": (HIDDEN, HIDDEN), "proj.0.bias": (HIDDEN,), "proj.2.weight": (context, HIDDEN),
                "proj.2.bias": (context,), "proj.3.weight": (context,), "proj.3.bias": (context,)}  # fmt: skip
    return _resampler(768 if model == "SD1.5" else 1280, context)


def _resampler(width: int, context: int, heads_width: int = 64) -> Shapes:
    inner = 12 * heads_width if width == 768 else 20 * heads_width
    shapes: Shapes = {
        "latents": (1, 16, width), "proj_in.weight": (width, HIDDEN), "proj_in.bias": (width,),
        "proj_out.weight": (context, width), "proj_out.bias": (context,), "norm_out.weight": (context,),
        "norm_out.bias": (context,),
    }  # fmt: skip
    for layer in range(4):
        start = f"layers.{layer}"
        shapes |= {f"{start}.0.{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in ("weight", "bias")}
        shapes |= {
            f"{start}.0.to_q.weight": (inner, width), f"{start}.0.to_kv.weight": (2 * inner, width),
            f"{start}.0.to_out.weight": (width, inner), f"{start}.1.0.weight": (width,), f"{start}.1.0.bias": (width,),
            f"{start}.1.1.weight": (4 * width, width), f"{start}.1.3.weight": (width, 4 * width),
        }  # fmt: skip
    return shapes


@cache
def _noise(dtype: torch.dtype) -> Tensor:
    return torch.randn(2**25).mul_(NOISE).to(dtype)


def filled(shapes: Shapes, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Tensors of these shapes; all are views of the same noise, so they take no memory of their own."""
    noise = _noise(dtype)
    longest = max(prod(shape) for shape in shapes.values())
    noise = noise.repeat(-(-longest // len(noise))) if longest > len(noise) else noise
    return {key: noise[: prod(shape)].view(shape) for key, shape in shapes.items()}


def file_weights(model: str, tokens: int) -> dict[str, Tensor]:
    """A whole file in float16, as published ones are."""
    shapes = {f"image_proj.{key}": shape for key, shape in projector_shapes(model, tokens).items()}
    shapes |= {f"ip_adapter.{key}": shape for key, shape in layer_shapes(model).items()}
    return filled(shapes, torch.float16)


@cache
def peer_weights(model: str, tokens: int) -> dict[str, dict[str, Tensor]]:
    """An adapter as loaders of other packs hand it on: nested by part."""
    parts = {"image_proj": projector_shapes(model, tokens), "ip_adapter": layer_shapes(model)}
    return {name: filled(shapes) for name, shapes in parts.items()}


def encoder(layers: int = DEPTH) -> ClipVisionModel:
    """CLIP ViT-H/14 by ComfyUI's own class, or the same with fewer layers."""
    model = ClipVisionModel(VIT_H | {"num_hidden_layers": layers})
    weights = {key: tuple(tensor.shape) for key, tensor in model.model.state_dict().items()}
    noise = {key: tensor.clone() for key, tensor in filled({key: shape for key, shape in weights.items()}).items()}
    model.model.float().requires_grad_(False)
    model.model.load_state_dict(noise, strict=False)
    return model
