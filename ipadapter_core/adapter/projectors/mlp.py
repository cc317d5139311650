"""The projectors made of two linear layers."""

from typing import Any

from torch import Tensor, nn

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations


class MLPProjector(nn.Module):
    """A two-layer network applied to each feature vector: (B, L, E) to image tokens (B, L, C).

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py, MLPProjModel.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            operations.Linear(spec.feature_width, spec.width, **options),
            nn.GELU(),
            operations.Linear(spec.width, spec.context_width, **options),
            operations.LayerNorm(spec.context_width, **options),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, E) -> (B, L, C)."""
        return self.proj(features)


class MLPTokensProjector(nn.Module):
    """A two-layer network from one feature vector to several tokens: (B, E) to image tokens (B, N, C).

    Source: InstantX/FLUX.1-dev-IP-Adapter, MLPProjModel.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.shape = (spec.tokens, spec.context_width)
        self.proj = nn.Sequential(
            operations.Linear(spec.feature_width, spec.width, **options),
            nn.GELU(),
            operations.Linear(spec.width, spec.tokens * spec.context_width, **options),
        )
        self.norm = operations.LayerNorm(spec.context_width, **options)

    def forward(self, features: Tensor) -> Tensor:
        """(B, E) -> (B, N, C)."""
        return self.norm(self.proj(features).unflatten(-1, self.shape))
