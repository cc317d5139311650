"""Layer matching: the quick first part of an adapter's training, without a backward pass through the UNet.

Where a text can say what a reference shows, the base model itself is the teacher. It sees the full text; at each
cross-attention the adapter learns to add to a shorter text's output what the full text's output has more:

    Attn(q, K_short, V_short) + Attn(q, K_image, V_image)  =  Attn(q, K_full, V_full)

It is local, exact where all layers reach it, and needs a forward pass only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from comfy.ldm.modules.attention import optimized_attention

from ..adapter.network import Adapter
from ..attention.image_attention import image_attention
from .flow_matching import NoisyBatch
from .trainable_adapter import TrainedLayer


@dataclass
class LayerDistillation:
    """A replacement patch that lets the teacher's attention pass and notes how far the adapter's is from it."""

    layer: TrainedLayer
    short_context: Tensor  # (B, T, C)
    key: Tensor  # (B, N, D)
    value: Tensor  # (B, N, D)
    losses: list[Tensor] = field(default_factory=list[Tensor])

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: Mapping[str, Any]) -> Tensor:
        heads, attention = options["n_heads"], self.layer.attention
        full = optimized_attention(query, key, value, heads)
        short = optimized_attention(
            query, attention.to_k(self.short_context), attention.to_v(self.short_context), heads
        )
        wanted = (full - short).float()
        with torch.enable_grad():
            added = image_attention(query, self.key.to(query), self.value.to(query), heads).float()
            self.losses.append((added - wanted).square().mean() / wanted.square().mean().clamp(min=1e-6))
        return full


def matching_loss(
    unet: nn.Module,
    lesson_of: Mapping[tuple[str, int, int], LayerDistillation],
    batch: NoisyBatch,
    full_context: Tensor,
) -> Tensor:
    """The share of the teacher's extra output that the adapter misses, averaged over layers."""
    options = {"patches_replace": {"attn2": dict(lesson_of)}}
    with torch.no_grad():
        unet(batch.noisy, batch.sigma * 1000, full_context, transformer_options=options)
    return torch.stack([loss for lesson in lesson_of.values() for loss in lesson.losses]).mean()


def lessons(
    adapter: Adapter, layers: tuple[TrainedLayer, ...], features: Tensor, short_context: Tensor
) -> dict[tuple[str, int, int], LayerDistillation]:
    """One lesson for each layer: image features (B, E), the short text's context (B, T, C)."""
    tokens = adapter.image_tokens(features)
    return {
        layer.block: LayerDistillation(layer, short_context, *adapter.key_value(layer.number, tokens))
        for layer in layers
    }
