"""The projectors of the face adapters: an identity vector, alone or with a look at the face itself, to image tokens."""

from torch import Tensor, nn

from ...checkpoint.spec import ProjectorSpec
from .resampler import PerceiverAttention, Resampler, feed_forward


class FaceProjector(nn.Module):
    """Two layers and a norm: an identity (B, E) to image tokens (B, N, C). FaceID has 4 tokens, Portrait 16.

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter_faceid.py, MLPProjModel.
    """

    def __init__(self, spec: ProjectorSpec, operations, dtype=None, device=None):
        super().__init__()
        options = {"dtype": dtype, "device": device}
        self.shape = (spec.tokens, spec.context_width)
        self.proj = nn.Sequential(
            operations.Linear(spec.feature_width, spec.width, **options),
            nn.GELU(),
            operations.Linear(spec.width, spec.tokens * spec.context_width, **options),
        )
        self.norm = operations.LayerNorm(spec.context_width, **options)

    def forward(self, identity: Tensor) -> Tensor:
        """(B, E) -> (B, N, C)."""
        return self.norm(self.proj(identity).unflatten(-1, self.shape))


class IdentityResampler(Resampler):
    """A raw identity (B, E), read as a row of one vector, through the resampler of the plus adapters.

    Portrait unnorm and InstantID. Source: instantX-research/InstantID, pipeline_stable_diffusion_xl_instantid.py,
    `_encode_prompt_image_emb`.
    """

    def forward(self, identity: Tensor) -> Tensor:
        """(B, E) -> (B, N, C)."""
        return super().forward(identity.unsqueeze(1))


class FacePerceiver(nn.Module):
    """Tokens (B, N, C) that attend to the hidden states (B, L, E) of a picture of the face.

    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter_faceid.py, FacePerceiverResampler.
    """

    def __init__(self, spec: ProjectorSpec, operations, dtype=None, device=None):
        super().__init__()
        options = {"dtype": dtype, "device": device}
        width, inner = spec.context_width, spec.heads * 64
        self.proj_in = operations.Linear(spec.picture_width, width, **options)
        self.proj_out = operations.Linear(width, width, **options)
        self.norm_out = operations.LayerNorm(width, **options)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (
                    PerceiverAttention(width, spec.heads, inner, operations, **options),
                    feed_forward(width, operations, **options),
                )
            )
            for _ in range(spec.depth)
        )

    def forward(self, latents: Tensor, appearance: Tensor) -> Tensor:
        """(B, N, C) and (B, L, E) -> (B, N, C)."""
        appearance = self.proj_in(appearance)
        for attention, transition in self.layers:  # type: ignore[misc]
            latents = attention(appearance, latents) + latents
            latents = transition(latents) + latents
        return self.norm_out(self.proj_out(latents))


class FacePlusProjector(FaceProjector):
    """Identity and appearance to image tokens: FaceID Plus, Plus V2 and Kolors FaceID Plus.

    `blend` (B, 2) says how much of the identity's own tokens and of the perceiver's goes in: (0, 1) is the equation of
    FaceID Plus, (1, structure) that of Plus V2; the files of both are alike.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter_faceid.py, ProjPlusModel (`shortcut`, `scale`).
    """

    def __init__(self, spec: ProjectorSpec, operations, dtype=None, device=None):
        super().__init__(spec, operations, dtype=dtype, device=device)
        self.perceiver_resampler = FacePerceiver(spec, operations, dtype=dtype, device=device)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """identity (B, E), appearance (B, L, P), blend (B, 2) -> (B, N, C)."""
        identity, appearance, blend = features
        tokens = super().forward(identity)
        own, seen = blend.to(tokens).view(-1, 2, 1, 1).unbind(1)
        return own * tokens + seen * self.perceiver_resampler(tokens, appearance)
