"""The projector of InstantCharacter: hidden states of early layers and of a closer look, read by the last ones, then resampled.

What comes before the resampler does not depend on the timestep; it is made once of a reference and kept.
Source: Tencent/InstantCharacter (202b193), models/resampler.py, CrossLayerCrossScaleProjector. Shapes: B references, L patches
of one look, E both encoders' channels.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations
from .resampler import HEAD_WIDTH
from .time_resampler import TimeResampler

EPSILON = 1e-6  # of the blocks' norms


class Attention(nn.Module):
    """Attention of one set of tokens to another, under diffusers' names."""

    def __init__(self, width: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (operations.Linear(width, width, bias=False, **options) for _ in range(3))
        self.to_out = nn.ModuleList((operations.Linear(width, width, **options),))

    def forward(self, tokens: Tensor, source: Tensor) -> Tensor:
        """tokens (B, L, E), source (B, S, E) -> (B, L, E)."""
        query, key, value = (
            torch.unflatten(part, -1, (-1, HEAD_WIDTH)).transpose(1, 2)
            for part in (self.to_q(tokens), self.to_k(source), self.to_v(source))
        )
        return self.to_out[0](scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class GatedLayer(nn.Module):
    """A layer of twice its width, whose second half gates the first, under diffusers' name."""

    def __init__(self, width: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.proj = operations.Linear(width, 8 * width, **options)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, E) -> (B, L, 4 E)."""
        hidden, gate = self.proj(tokens).chunk(2, dim=-1)
        return hidden * gelu(gate)


class FeedForward(nn.Module):
    """A gated layer and one back; the published network has a dropout of nothing between them."""

    def __init__(self, width: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        back = operations.Linear(4 * width, width, **options)
        self.net = nn.ModuleList((GatedLayer(width, operations, **options), nn.Identity(), back))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, E) -> (B, L, E)."""
        for layer in self.net:
            tokens = layer(tokens)
        return tokens


class ReadingBlock(nn.Module):
    """Attention to itself, to a source as it is, and two layers; each after a norm, each added.

    Source: diffusers (58eb52c), models/attention.py, BasicTransformerBlock.
    """

    def __init__(self, width: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (operations.LayerNorm(width, eps=EPSILON, **options) for _ in range(3))
        self.attn1, self.attn2 = (Attention(width, operations, **options) for _ in range(2))
        self.ff = FeedForward(width, operations, **options)

    def forward(self, tokens: Tensor, source: Tensor) -> Tensor:
        """tokens (B, L, E), source (B, S, E) -> (B, L, E)."""
        own = self.norm1(tokens)
        tokens = tokens + self.attn1(own, own)
        tokens = tokens + self.attn2(self.norm2(tokens), source)
        return tokens + self.ff(self.norm3(tokens))


class TwoLayers(nn.Module):
    """Two layers with a GELU between them, under timm's names."""

    def __init__(self, width: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.fc1 = operations.Linear(width, 2 * width, **options)
        self.fc2 = operations.Linear(2 * width, width, **options)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, E) -> (B, L, E)."""
        return self.fc2(gelu(self.fc1(tokens), approximate="tanh"))


class TwoScalesProjector(nn.Module):
    """Features of an image to image tokens: `reference` is what of it is the same at every step, `resampler` the rest."""

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        width = spec.feature_width
        self.cross_layer_blocks, self.cross_scale_blocks = (
            nn.ModuleList(ReadingBlock(width, operations, **options) for _ in range(spec.blocks)) for _ in range(2)
        )
        self.proj, self.proj_cross_layer, self.proj_cross_scale = (
            TwoLayers(width, operations, **options) for _ in range(3)
        )
        self.resampler = TimeResampler(spec, operations, **options)

    def reference(self, features: tuple[Tensor, ...]) -> Tensor:
        """The last hidden states (B, L, E), those of early layers (B, S, E) and those of quadrants -> (B, 2 L, E)."""
        deep, shallow, closer = features
        of_layers = of_scales = deep
        for block in self.cross_layer_blocks:
            of_layers = block(of_layers, shallow)
        for block in self.cross_scale_blocks:
            of_scales = block(of_scales, closer)
        both = self.proj(deep) + self.proj_cross_scale(of_scales)
        return torch.cat((both, self.proj_cross_layer(of_layers)), dim=1)
