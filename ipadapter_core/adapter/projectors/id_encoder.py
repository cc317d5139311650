"""The projector of PuLID's first release: tokens of a face's identity, and one for each hidden state of its image."""

from typing import Any

import torch
from torch import Tensor, nn

from ...checkpoint.pulid_formats import STATES
from ...checkpoint.spec import ProjectorSpec
from ...host import Operations
from .id_former import mapping


class IDEncoder(nn.Module):
    """A face's identity and five hidden states of its image to image tokens (B, N, C).

    Source: ToTheBeginning/PuLID (1aa2fc7), pulid/encoders.py, IDEncoder.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        context, seen = spec.context_width, spec.picture_width
        self.shape = (STATES, context)
        self.body = mapping(spec.feature_width, spec.width, STATES * context, operations, **options)
        for number in range(STATES):
            for name in (f"mapping_{number}", f"mapping_patch_{number}"):
                self.add_module(name, mapping(seen, seen, context, operations, **options))

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """The condition (B, E), identity and pooled face, and five hidden states (B, L, P), class token first -> (B, N, C)."""
        condition, *states = features
        tokens = [torch.unflatten(self.body(condition), -1, self.shape)]
        for number, state in enumerate(states):
            whole = self.get_submodule(f"mapping_{number}")(state[:, :1])
            patches = self.get_submodule(f"mapping_patch_{number}")(state[:, 1:])
            tokens.append(whole + patches.mean(dim=1, keepdim=True))
        return torch.cat(tokens, dim=1)
