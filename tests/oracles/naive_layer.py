"""One cross-attention layer at a time: our hook on given queries, and the same thing stated naively in float64."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import torch
from pack.ipadapter_core.adapter.managed import ManagedAdapter
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.patchers.families.unet import layer_map
from pack.ipadapter_core.patchers.hooks.wrappers import NAME, applications_of
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.tools.miniature.models import adapter_weights, managed, tiny_model, widths_of
from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

GRID = (3, 4)  # latent tokens of a layer under test
CONTEXT, FEATURES, HEADS = 96, 64, 4


class Bench(NamedTuple):
    """A miniature model with an adapter whose weights are at hand."""

    model: ModelPatcher
    adapter: ManagedAdapter
    weights: dict[str, Tensor]


def bench(base: str = "SD1.5", seed: int = 1) -> Bench:
    """Random weights in float64."""
    model = tiny_model(base)
    weights = adapter_weights("base", widths_of(model), CONTEXT, seed)
    weights = {key: tensor.double() for key, tensor in weights.items()}
    return Bench(model, managed(weights), weights)


def picture(seed: int, weight: float = 1.0, mask: Tensor | None = None) -> Reference:
    """A reference with seeded features and a seeded negative."""
    generator = torch.Generator().manual_seed(seed)
    features, negative = (torch.randn(1, FEATURES, generator=generator, dtype=torch.float64) for _ in range(2))
    return Reference(EncodedImage(features, negative), weight, None if mask is None else canvas_mask(mask))


def prompt(*references: Reference, feature: Feature = Feature.POOLED, encoder: str = "a test") -> ImagePrompt:
    """An image prompt over references."""
    return ImagePrompt(references, feature, encoder)


def query(width: int, batch: int = 2, seed: int = 4) -> Tensor:
    """Seeded queries (B, L, D) in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, math.prod(GRID), width, generator=generator, dtype=torch.float64)


class Executor(NamedTuple):
    """What ComfyUI hands to a wrapper: the next thing to call, and the model that it belongs to."""

    call: Callable
    class_obj: SimpleNamespace

    def __call__(self, *args, **kwargs):
        """Calls it."""
        return self.call(*args, **kwargs)


def effect(model: ModelPatcher, index: int, given: Tensor, passes=(1, 0)) -> Tensor:
    """What the hook at layer `index` (in file order) adds to the text's half; exactly zero where there is no hook.

    Goes through our wrappers as ComfyUI calls them: a step of a positive and a negative list, then a model call of `passes`.
    """
    block, width, *_ = layer_map(model.model.diffusion_model)[index]
    if not applications_of(model.model_options["transformer_options"]):
        return torch.zeros_like(given)
    (begin,), (around,) = (
        model.get_wrappers(kind, NAME) for kind in (WrappersMP.CALC_COND_BATCH, WrappersMP.APPLY_MODEL)
    )
    real = model.model
    double = SimpleNamespace(
        get_dtype_inference=lambda: torch.float64,
        model_sampling=real.model_sampling,
        diffusion_model=real.diffusion_model,
    )
    latent = torch.zeros(given.shape[0] // len(passes), 4, *GRID, dtype=torch.float64)
    sigma = torch.ones(1, dtype=torch.float64)
    silent = torch.zeros(given.shape[0], 5, width, dtype=torch.float64)  # text whose values are zero adds nothing

    def layer(x, t, c_concat, c_crossattn, control, options, **kwargs):
        hooks = options.get("patches_replace", {}).get("attn2", {})
        call = options | {"n_heads": HEADS, "activations_shape": (1, width, *GRID)}
        return hooks[block](given, silent, silent, call) if block in hooks else torch.zeros_like(given)

    def batch(guided, conds, x, t, model_options):
        options = model_options["transformer_options"] | {"cond_or_uncond": list(passes), "uuids": list(passes)}
        return around(Executor(layer, double), x.repeat(len(passes), 1, 1, 1), t, transformer_options=options)

    conds = [[{"uuid": 0}], [{"uuid": 1}]]
    return begin(Executor(batch, double), model.model, conds, latent, sigma, model.model_options)


def tokens_of(weights: dict[str, Tensor], features: Tensor) -> Tensor:
    """The base projector: a linear map to N vectors, each normalised to mean 0 and variance 1, scaled and shifted."""
    flat = features @ weights["image_proj.proj.weight"].T + weights["image_proj.proj.bias"]
    tokens = flat.reshape(features.shape[0], -1, CONTEXT)
    tokens = (tokens - tokens.mean(-1, keepdim=True)) / (tokens.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return tokens * weights["image_proj.norm.weight"] + weights["image_proj.norm.bias"]


def keys_values(weights: dict[str, Tensor], index: int, features: Tensor) -> tuple[Tensor, Tensor]:
    """Key and value (N, D) of one image (1, E) at layer `index`, by the file's odd numbers."""
    tokens = tokens_of(weights, features)[0]
    return tuple(tokens @ weights[f"ip_adapter.{2 * index + 1}.to_{part}_ip.weight"].T for part in "kv")


def attend(rows: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k / sqrt(d)) v for each head in turn: rows (L, D), key and value (N, D) -> (L, D)."""
    parts = []
    for q, k, v in zip(rows.chunk(HEADS, -1), key.chunk(HEADS, -1), value.chunk(HEADS, -1), strict=True):
        scores = torch.exp(q @ k.T / math.sqrt(q.shape[-1]))
        parts.append(scores @ v / scores.sum(-1, keepdim=True))
    return torch.cat(parts, -1)


def far(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, over the largest value that was expected (or over one, where zeros were)."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12 if theirs.any() else 1.0))
