"""The projector of the plus adapters: learned latents that attend to the encoder's patches."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ...checkpoint.spec import ProjectorSpec


class PerceiverAttention(nn.Module):
    """Cross-attention from latents (B, N, D) to features and latents together.

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/resampler.py, after lucidrains' flamingo-pytorch.
    """

    def __init__(self, width: int, heads: int, inner: int, operations, dtype=None, device=None):
        super().__init__()
        options = {"dtype": dtype, "device": device}
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


def feed_forward(width: int, operations, dtype=None, device=None, times: int = 4) -> nn.Sequential:
    """Norm, widen by `times`, GELU, narrow; without biases, as in the published files."""
    options = {"dtype": dtype, "device": device}
    return nn.Sequential(
        operations.LayerNorm(width, **options),
        operations.Linear(width, times * width, bias=False, **options),
        nn.GELU(),
        operations.Linear(times * width, width, bias=False, **options),
    )


class Resampler(nn.Module):
    """Features (B, L, E) to a fixed number of image tokens (B, N, C).

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/resampler.py.
    """

    def __init__(self, spec: ProjectorSpec, operations, dtype=None, device=None):
        super().__init__()
        options = {"operations": operations, "dtype": dtype, "device": device}
        inner = spec.heads * 64
        self.latents = nn.Parameter(torch.zeros(1, spec.tokens, spec.width, dtype=dtype, device=device))
        self.proj_in = operations.Linear(spec.feature_width, spec.width, dtype=dtype, device=device)
        self.proj_out = operations.Linear(spec.width, spec.context_width, dtype=dtype, device=device)
        self.norm_out = operations.LayerNorm(spec.context_width, dtype=dtype, device=device)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (PerceiverAttention(spec.width, spec.heads, inner, **options), feed_forward(spec.width, **options))
            )
            for _ in range(spec.depth)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, E) -> (B, N, C)."""
        features = self.proj_in(features)
        latents = self.latents.to(features).expand(features.shape[0], -1, -1)
        for attention, transition in self.layers:  # type: ignore[misc]
            latents = attention(features, latents) + latents
            latents = transition(latents) + latents
        return self.norm_out(self.proj_out(latents))
