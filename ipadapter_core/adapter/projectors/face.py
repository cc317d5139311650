"""The projectors of the face adapters: an identity vector, alone or with a look at the face itself, to image tokens."""

from typing import Any

from torch import Tensor, nn

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations
from .resampler import Resampler, perceiver_layers


class IdentityParts(nn.Module):
    """Two layers and a norm: an identity (B, E) to image tokens (B, N, C). FaceID has 4 tokens, Portrait 16.

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter_faceid.py, MLPProjModel.
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

    def tokens(self, identity: Tensor) -> Tensor:
        """(B, E) -> (B, N, C)."""
        return self.norm(self.proj(identity).unflatten(-1, self.shape))


class FaceProjector(IdentityParts):
    """An identity (B, E) alone to image tokens (B, N, C)."""

    def forward(self, identity: Tensor) -> Tensor:
        """(B, E) -> (B, N, C)."""
        return self.tokens(identity)


class IdentityResampler(Resampler):
    """A raw identity (B, E), read as a row of one vector, through the resampler of the plus adapters.

    Portrait unnorm and InstantID. Source: instantX-research/InstantID, pipeline_stable_diffusion_xl_instantid.py,
    `_encode_prompt_image_emb`.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, E) -> (B, N, C)."""
        return super().forward(features.unsqueeze(1))


class FacePerceiver(nn.Module):
    """Tokens (B, N, C) that attend to the hidden states (B, L, E) of an image of the face.

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter_faceid.py, FacePerceiverResampler.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        width = spec.context_width
        self.proj_in = operations.Linear(spec.picture_width, width, **options)
        self.proj_out = operations.Linear(width, width, **options)
        self.norm_out = operations.LayerNorm(width, **options)
        self.layers = perceiver_layers(spec.depth, width, spec.heads, operations, **options)

    def forward(self, latents: Tensor, appearance: Tensor) -> Tensor:
        """(B, N, C) and (B, L, E) -> (B, N, C)."""
        appearance = self.proj_in(appearance)
        for layer in self.layers:
            latents = layer(appearance, latents)
        return self.norm_out(self.proj_out(latents))


class FacePlusProjector(IdentityParts):
    """Identity and appearance to image tokens: FaceID Plus, Plus V2 and Kolors FaceID Plus.

    `blend` (B, 2) says how much of the identity's own tokens and of the perceiver's goes in: (0, 1) is the equation of
    FaceID Plus, (1, structure) that of Plus V2; the files of both are alike.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter_faceid.py, ProjPlusModel (`shortcut`, `scale`).
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__(spec, operations, **options)
        self.perceiver_resampler = FacePerceiver(spec, operations, **options)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """identity (B, E), appearance (B, L, P), blend (B, 2) -> (B, N, C)."""
        identity, appearance, blend = features
        tokens = self.tokens(identity)
        own, seen = blend.to(tokens).view(-1, 2, 1, 1).unbind(1)
        return own * tokens + seen * self.perceiver_resampler(tokens, appearance)
