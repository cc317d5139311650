"""The projectors of the style adapters: IP-Adapter-Art, and CSGO with its pair of images."""

from typing import Any

import torch
from torch import Tensor, nn

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations
from .resampler import Resampler


class StyleProjector(nn.Module):
    """One linear layer and a norm, under the names that diffusers gives them: (B, E) to image tokens (B, N, C).

    Source: diffusers 0.42.1, models/embeddings.py, ImageProjection; aihao2000/IP-Adapter-Art saves it as it is.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        width = spec.context_width
        self.shape = (spec.tokens, width)
        self.image_embeds = operations.Linear(spec.feature_width, spec.tokens * width, **options)
        self.norm = operations.LayerNorm(width, **options)

    def forward(self, features: Tensor) -> Tensor:
        """(B, E) -> (B, N, C)."""
        return self.norm(self.image_embeds(features).unflatten(-1, self.shape))


class ContentStyleProjector(nn.Module):
    """A resampler for the content and one for the style; their tokens stand one after the other, content first.

    Source: instantX-research/CSGO (556fb40), ip_adapter/ip_adapter.py, class CSGO.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        content, style = spec.parts
        self.content = Resampler(content, operations, **options)
        self.style = Resampler(style, operations, **options)

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """The hidden states of content and style, (B, L, E) each -> (B, N content + N style, C)."""
        content, style = features
        return torch.cat((self.content(content), self.style(style)), dim=1)
