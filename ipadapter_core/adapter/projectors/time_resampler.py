"""The projector of the SD3.5 adapter: a resampler that is modulated by the timestep."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations
from .resampler import HEAD_WIDTH, PerceiverAttention, feed_forward


class TimeEmbedding(nn.Module):
    """Timestep (0..1000) to an embedding (B, T): cosines then sines, and a two-layer network."""

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.width = spec.time_width
        self.linear_1 = operations.Linear(spec.time_width, spec.width, **options)
        self.linear_2 = operations.Linear(spec.width, spec.width, **options)

    def forward(self, timestep: Tensor, dtype: torch.dtype) -> Tensor:
        """(B) -> (B, T) in `dtype`."""
        half = self.width // 2
        exponents = torch.arange(half, dtype=torch.float32, device=timestep.device) / half
        angles = timestep.float()[:, None] * torch.exp(-math.log(10000) * exponents)
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1).to(dtype)
        return self.linear_2(silu(self.linear_1(waves)))


class ModulatedLayer(nn.ModuleList):
    """Cross-attention from latents, then two layers, each after a norm that the time moves; in a file they are numbered."""

    def __init__(self, width: int, heads: int, operations: Operations, **options: Any) -> None:
        attention = PerceiverAttention(width, heads, heads * HEAD_WIDTH, operations, **options)
        modulation = nn.Sequential(nn.SiLU(), operations.Linear(width, 4 * width, **options))
        super().__init__((attention, feed_forward(width, operations, **options), modulation))

    def forward(self, features: Tensor, latents: Tensor, time: Tensor) -> Tensor:
        """features (B, L, D), latents (B, N, D), time embedding (1, T) -> (B, N, D)."""
        attention, transition, modulation = self
        assert isinstance(attention, PerceiverAttention) and isinstance(transition, nn.Sequential)
        shift, scale, shift_after, scale_after = modulation(time).unsqueeze(1).chunk(4, dim=-1)
        modulated = attention.norm2(latents) * (1 + scale) + shift
        latents = attention.attend(attention.norm1(features), modulated) + latents
        norm, *rest = transition
        out = norm(latents) * (1 + scale_after) + shift_after
        for layer in rest:
            out = layer(out)
        return out + latents


class TimeResampler(nn.Module):
    """Features (B, L, E) and a timestep to image tokens (B, N, C).

    Source: InstantX/SD3.5-Large-IP-Adapter, models/resampler.py, TimeResampler; diffusers' IPAdapterTimeImageProjection.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(1, spec.tokens, spec.width, **options))
        self.proj_in = operations.Linear(spec.feature_width, spec.width, **options)
        self.proj_out = operations.Linear(spec.width, spec.context_width, **options)
        self.norm_out = operations.LayerNorm(spec.context_width, **options)
        self.time_embedding = TimeEmbedding(spec, operations, **options)
        self.layers = nn.ModuleList(
            ModulatedLayer(spec.width, spec.heads, operations, **options) for _ in range(spec.depth)
        )

    def forward(self, features: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """features (B, L, E), timestep (1) -> tokens (B, N, C) and time embedding (1, T)."""
        time = self.time_embedding(timestep, features.dtype)
        features = self.proj_in(features) + time[:, None]
        latents = self.latents.to(features).expand(features.shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(features, latents, time)
        return self.norm_out(self.proj_out(latents)), time
