"""The projector of PuLID: latents that read the hidden states of a face in turn, beside tokens of its identity."""

from typing import Any

import torch
from torch import Tensor, nn

from ...checkpoint.pulid_formats import STATES
from ...checkpoint.spec import ProjectorSpec
from ...host import Operations
from .resampler import perceiver_layers


def mapping(inputs: int, hidden: int, outputs: int, operations: Operations, **options: Any) -> nn.Sequential:
    """Three linear layers; behind the first two a norm and a leaky rectifier."""
    return nn.Sequential(
        operations.Linear(inputs, hidden, **options),
        operations.LayerNorm(hidden, **options),
        nn.LeakyReLU(),
        operations.Linear(hidden, hidden, **options),
        operations.LayerNorm(hidden, **options),
        nn.LeakyReLU(),
        operations.Linear(hidden, outputs, **options),
    )


class IDFormer(nn.Module):
    """A face's identity and five hidden states of its image to image tokens (B, N, C).

    The hidden layers of its mappings are as wide as the encoder's states, as in every published file.
    Source: ToTheBeginning/PuLID (1aa2fc7), pulid/encoders_transformer.py, IDFormer.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        width, hidden = spec.width, spec.picture_width
        self.shape = (STATES, width)
        self.each = spec.depth // STATES  # layers that read one hidden state
        self.latents = nn.Parameter(torch.zeros(1, spec.tokens, width, **options))
        self.proj_out = nn.Parameter(torch.zeros(width, spec.context_width, **options))
        self.layers = perceiver_layers(spec.depth, width, spec.heads, operations, **options)
        self.id_embedding_mapping = mapping(spec.feature_width, hidden, STATES * width, operations, **options)
        for number in range(STATES):
            self.add_module(f"mapping_{number}", mapping(hidden, hidden, width, operations, **options))

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """The condition (B, E), identity and pooled face, and five hidden states (B, L, P) -> (B, N, C).

        Of several images of a person the conditions are (B, R, E), and their states follow one another.
        """
        condition, *states = features
        identity = self.id_embedding_mapping(condition).unflatten(-1, self.shape)
        identity = identity.flatten(1, -2)
        latents = self.latents.to(condition).expand(condition.shape[0], -1, -1)
        tokens = torch.cat((latents, identity), dim=1)
        for number, state in enumerate(states):
            seen = torch.cat((identity, self.get_submodule(f"mapping_{number}")(state)), dim=1)
            for layer in self.layers[number * self.each : (number + 1) * self.each]:
                tokens = layer(seen, tokens)
        return tokens[:, : latents.shape[1]] @ self.proj_out.to(tokens)
