"""Watches what our hook adds at each layer of a real run, and says independently, in float64, what it ought to add."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.host import base_attention
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families import unet
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.ipadapter_core.sampling.strength import Strength
from pack.tools.miniature.models import adapter_weights, managed, tiny_model, widths_of
from torch import Tensor

import comfy.samplers
from comfy.model_patcher import ModelPatcher

TEXT = 96


class Seen(NamedTuple):
    """One call of one layer: where, the query, what was added to the text's part, the token grid and the passes."""

    block: tuple
    query: Tensor
    added: Tensor
    grid: tuple[int, int]
    passes: tuple[int, ...]


class Row(NamedTuple):
    """What one row of a layer's batch ought to be: which reference's bank, which side of it, and the mask of its tokens."""

    reference: int
    side: int
    mask: np.ndarray
    weight: float = 1.0


def exact_model(**changes) -> ModelPatcher:
    """A miniature SD1.5 that computes in float64."""
    model = tiny_model("SD1.5", **changes)
    model.model.diffusion_model.to(torch.float64)
    model.model.diffusion_model.dtype = torch.float64
    return model


def exact_adapter(model: ModelPatcher):
    """An adapter for it, with four tokens."""
    return managed(adapter_weights("base", widths_of(model), TEXT), torch.float64)


def references(count: int, masks=(), weights=()) -> tuple[Reference, ...]:
    """Seeded images, each unlike the others."""
    generator = torch.Generator().manual_seed(9)
    made = []
    for index in range(count):
        features, negative = (torch.randn(1, 64, generator=generator).double() for _ in range(2))
        weight = weights[index] if weights else 1.0
        own = masks[index] if masks else None
        made.append(Reference(EncodedImage(features, negative), weight, None if own is None else canvas_mask(own)))
    return tuple(made)


def apply(model, adapter, given, mask=None, per_frame=False, **strength) -> ModelPatcher:
    """What the node does."""
    return apply_image_prompt(
        model, adapter, ImagePrompt(given, Feature.POOLED, "a test"), Strength(**strength), mask, per_frame
    )


def text(seed: int, **extra) -> list:
    """A conditioning as nodes hand it on."""
    return [[torch.randn(1, 7, TEXT, generator=torch.Generator().manual_seed(seed)), dict(extra)]]


def sample(model, positive, negative, shape, cfg=3.0, steps=1, seed=1) -> Tensor:
    """ComfyUI's own sampler over seeded noise (B, 4, h, w)."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", steps)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return guider.sample(noise, torch.zeros(shape), comfy.samplers.sampler_object("euler"), sigmas, seed=seed)


@pytest.fixture
def seen(monkeypatch) -> list[Seen]:
    """Everything that the hooks do from here on."""
    calls: list[Seen] = []
    original = unet.ImageCrossAttention.__call__

    def watched(hook, query, key, value, options):
        out = original(hook, query, key, value, options)
        if hook.previous is None:
            added = out - base_attention(query, key, value, options)
            block = (*options["block"], options["block_index"])
            grid = tuple(options["activations_shape"][-2:])
            calls.append(Seen(block, query, added, grid, tuple(options["cond_or_uncond"])))
        return out

    monkeypatch.setattr(unet.ImageCrossAttention, "__call__", watched)
    return calls


def upsampled_places(latent: int, tokens: int) -> list[tuple[int, int]]:
    """First and last + 1 latent pixel of each token, as the UNet's own halving and nearest upsampling have it."""
    sizes = [latent]
    while sizes[-1] != tokens:
        assert sizes[-1] > tokens, "no level of the UNet"
        sizes.append(
            int(torch.nn.functional.conv1d(torch.zeros(1, 1, sizes[-1]), torch.ones(1, 1, 3), None, 2, 1).shape[-1])
        )
    owner = torch.arange(tokens, dtype=torch.float32)[None, None]
    for size in reversed(sizes[:-1]):
        owner = torch.nn.functional.interpolate(owner, size=size, mode="nearest")
    owners = owner[0, 0].int().tolist()
    return [(owners.index(token), latent - owners[::-1].index(token)) for token in range(tokens)]


def integral(mask: np.ndarray, top: float, bottom: float, left: float, right: float) -> float:
    """Mean of a mask (H, W) over a box in its own samples, by its summed-area table: no matrix, no torch."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    table[1:, 1:] = mask.astype(np.float64).cumsum(0).cumsum(1)

    def at(y: float, x: float) -> float:
        row, column = min(int(y), mask.shape[0] - 1), min(int(x), mask.shape[1] - 1)
        down, across = y - row, x - column
        low = table[row, column] * (1 - across) + table[row, column + 1] * across
        high = table[row + 1, column] * (1 - across) + table[row + 1, column + 1] * across
        return low * (1 - down) + high * down

    total = at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)
    return total / ((bottom - top) * (right - left))


def tokens_of(mask: np.ndarray, grid, crop, canvas) -> np.ndarray:
    """(L,) weights of a layer's tokens when the model sees crop (height, width, top, left) of a canvas, in latent pixels."""
    height, width, top, left = crop
    down, across = mask.shape[0] / canvas[0], mask.shape[1] / canvas[1]
    return np.array([
        integral(mask, (top + y0) * down, (top + y1) * down, (left + x0) * across, (left + x1) * across)
        for y0, y1 in upsampled_places(height, grid[0])
        for x0, x1 in upsampled_places(width, grid[1])
    ])  # fmt: skip


def expected(call: Seen, model: ModelPatcher, adapter, given, rows: list[Row], heads: int = 4) -> Tensor:
    """(B, L, D): softmax(q K / sqrt(d)) V of each row's own bank, times its weight and mask, written out in float64."""
    application = applications_of(model.model_options["transformer_options"])[0]
    layer = application.blocks.index(call.block)
    outs = []
    for query, row in zip(call.query.double(), rows, strict=True):
        bank = adapter.bank(given[row.reference].image)
        key, value = (side[layer][row.side].double() for side in (bank.keys, bank.values))
        parts = []
        for head in range(heads):
            width = query.shape[-1] // heads
            cut = slice(head * width, (head + 1) * width)
            scores = (query[:, cut] @ key[:, cut].T / width**0.5).softmax(-1)
            parts.append(scores @ value[:, cut])
        outs.append(torch.cat(parts, -1) * row.weight * torch.from_numpy(row.mask)[:, None])
    return torch.stack(outs)


def worst(calls: list[Seen], model, adapter, given, rows_of_call) -> float:
    """The largest error over the largest value at any layer; `rows_of_call` makes a call's rows."""
    assert calls
    errors = []
    for call in calls:
        wanted = expected(call, model, adapter, given, rows_of_call(call))
        errors.append(float((call.added - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12)))
    return max(errors)
