"""Where the encoder's features are the image tokens themselves."""

from typing import Any

from torch import Tensor, nn

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations


class NoProjector(nn.Module):
    """Hands features (B, L, E) on as image tokens."""

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, E) -> (B, L, E)."""
        return features
