"""The projector of the PE-Core adapter for Anima: learned queries that read the image, then one another."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations


class JointAttention(nn.Module):
    """Attention with one weight for query, key and value, under the names of `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width, **options))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width, **options))
        self.out_proj = operations.Linear(width, width, **options)

    def forward(self, query: Tensor, source: Tensor) -> Tensor:
        """query (B, N, D), source (B, L, D) -> (B, N, D)."""
        weights, biases = (part.to(query).chunk(3) for part in (self.in_proj_weight, self.in_proj_bias))
        query, key, value = (
            torch.unflatten(linear(tokens, weight, bias), -1, (self.heads, -1)).transpose(1, 2)
            for tokens, weight, bias in zip((query, source, source), weights, biases, strict=True)
        )
        return self.out_proj(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class PerceiverBlock(nn.Module):
    """Cross-attention to the image, self-attention among the queries, two layers; each after a norm, each added."""

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        width = spec.width
        self.q_norm_x = operations.LayerNorm(width, **options)
        self.kv_norm_x = operations.LayerNorm(width, **options)
        self.xattn = JointAttention(width, spec.heads, operations, **options)
        self.norm_s = operations.LayerNorm(width, **options)
        self.sattn = JointAttention(width, spec.heads, operations, **options)
        self.norm_f = operations.LayerNorm(width, **options)
        self.ffn = nn.Sequential(
            operations.Linear(width, 4 * width, **options), nn.GELU(), operations.Linear(4 * width, width, **options)
        )

    def forward(self, queries: Tensor, picture: Tensor) -> Tensor:
        """queries (B, N, D), image (B, L, D) -> (B, N, D)."""
        queries = queries + self.xattn(self.q_norm_x(queries), self.kv_norm_x(picture))
        own = self.norm_s(queries)
        queries = queries + self.sattn(own, own)
        return queries + self.ffn(self.norm_f(queries))


class Perceiver(nn.Module):
    """Features (B, L, E), less their mean over the training's images, to image tokens (B, N, C).

    Source: sorryhyun/anima_lora (3f7ca1f3~1), library/vision/resampler.py and networks/methods/ip_adapter.py.
    """

    ip_centroid: Tensor

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.register_buffer("ip_centroid", torch.zeros(spec.feature_width, **options))
        self.queries = nn.Parameter(torch.zeros(1, spec.tokens, spec.width, **options))
        self.kv_proj = operations.Linear(spec.feature_width, spec.width, **options)
        self.blocks = nn.ModuleList(PerceiverBlock(spec, operations, **options) for _ in range(spec.depth))
        self.out_norm = operations.LayerNorm(spec.width, **options)
        self.out = operations.Linear(spec.width, spec.context_width, **options)

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, E) -> (B, N, C)."""
        picture = self.kv_proj(features - self.ip_centroid.to(features))
        queries = self.queries.to(features).expand(features.shape[0], -1, -1)
        for block in self.blocks:
            queries = block(queries, picture)
        return self.out(self.out_norm(queries))
