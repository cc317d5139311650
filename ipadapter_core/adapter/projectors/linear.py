"""The projector of the base adapters."""

from typing import Any

from torch import Tensor, nn

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations


class LinearProjector(nn.Module):
    """One linear layer and a norm: pooled features (B, E) to image tokens (B, N, C).

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py, ImageProjModel.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.shape = (spec.tokens, spec.context_width)
        self.proj = operations.Linear(spec.feature_width, spec.tokens * spec.context_width, **options)
        self.norm = operations.LayerNorm(spec.context_width, **options)

    def forward(self, features: Tensor) -> Tensor:
        """(B, E) -> (B, N, C)."""
        return self.norm(self.proj(features).unflatten(-1, self.shape))
