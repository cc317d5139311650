"""The projector of the plus adapters: learned latents that attend to the encoder's patches."""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations

HEAD_WIDTH = 64  # of every resampler


class PerceiverAttention(nn.Module):
    """Cross-attention from latents (B, N, D) to features and latents together.

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/resampler.py, after lucidrains' flamingo-pytorch.
    """

    def __init__(self, width: int, heads: int, inner: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = operations.LayerNorm(width, **options)
        self.norm2 = operations.LayerNorm(width, **options)
        self.to_q = operations.Linear(width, inner, bias=False, **options)
        self.to_kv = operations.Linear(width, 2 * inner, bias=False, **options)
        self.to_out = operations.Linear(inner, width, bias=False, **options)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        """features (B, L, D), latents (B, N, D) -> (B, N, D)."""
        return self.attend(self.norm1(features), self.norm2(latents))

    def attend(self, features: Tensor, latents: Tensor) -> Tensor:
        """The same, both already normalised."""
        query = rearrange(self.to_q(latents), "B N (H D) -> B H N D", H=self.heads)
        both = self.to_kv(torch.cat((features, latents), dim=1))
        key, value = rearrange(both, "B L (K H D) -> K B H L D", K=2, H=self.heads)
        out = scaled_dot_product_attention(query, key, value)
        return self.to_out(rearrange(out, "B H N D -> B N (H D)"))


def feed_forward(width: int, operations: Operations, times: int = 4, **options: Any) -> nn.Sequential:
    """Norm, widen by `times`, GELU, narrow; without biases, as in the published files."""
    return nn.Sequential(
        operations.LayerNorm(width, **options),
        operations.Linear(width, times * width, bias=False, **options),
        nn.GELU(),
        operations.Linear(times * width, width, bias=False, **options),
    )


class PerceiverLayer(nn.ModuleList):
    """Cross-attention from latents, then two layers, each added; in a file they are numbered."""

    def __init__(self, width: int, heads: int, operations: Operations, times: int = 4, **options: Any) -> None:
        attention = PerceiverAttention(width, heads, heads * HEAD_WIDTH, operations, **options)
        super().__init__((attention, feed_forward(width, operations, times, **options)))

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        """features (B, L, D), latents (B, N, D) -> (B, N, D)."""
        attention, transition = self
        latents = attention(features, latents) + latents
        return transition(latents) + latents


def perceiver_layers(
    depth: int, width: int, heads: int, operations: Operations, times: int = 4, **options: Any
) -> nn.ModuleList:
    """Layers that follow one another."""
    return nn.ModuleList(PerceiverLayer(width, heads, operations, times, **options) for _ in range(depth))


class ResamplerParts(nn.Module):
    """What every resampler has: latents, a way in, layers, a way out.

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/resampler.py.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(1, spec.tokens, spec.width, **options))
        self.proj_in = operations.Linear(spec.feature_width, spec.width, **options)
        self.proj_out = operations.Linear(spec.width, spec.context_width, **options)
        self.norm_out = operations.LayerNorm(spec.context_width, **options)
        self.layers = perceiver_layers(spec.depth, spec.width, spec.heads, operations, **options)


class Resampler(ResamplerParts):
    """Features (B, L, E) to a fixed number of image tokens (B, N, C)."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, E) -> (B, N, C)."""
        features = self.proj_in(features)
        latents = self.latents.to(features).expand(features.shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(features, latents)
        return self.norm_out(self.proj_out(latents))
