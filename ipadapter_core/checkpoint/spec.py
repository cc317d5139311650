"""The description of an adapter that everything after detection works from."""

from dataclasses import dataclass
from enum import Enum

Shapes = dict[str, tuple[int, ...]]


class Feature(str, Enum):
    """Which output of the image encoder an adapter reads."""

    POOLED = "image_embeds"  # (B, E), after the encoder's projection
    HIDDEN = "penultimate_hidden_states"  # (B, L, E), the last layer but one, class token included


class ProjectorKind(str, Enum):
    """How features become image tokens."""

    LINEAR = "linear"
    MLP = "mlp"
    RESAMPLER = "resampler"


class BaseModel(str, Enum):
    """The diffusion model that an adapter was trained for, as its sizes tell."""

    SD15 = "SD1.5"
    SDXL = "SDXL"
    OTHER = "another UNet"


@dataclass(frozen=True)
class ProjectorSpec:
    """Sizes of a projector; those that a kind does not have are 0.

    `tokens` is 0 where the projector makes one token of each feature vector.
    """

    kind: ProjectorKind
    feature: Feature
    feature_width: int
    context_width: int
    tokens: int = 0
    width: int = 0
    heads: int = 0
    depth: int = 0


@dataclass(frozen=True)
class LayerSpec:
    """One cross-attention layer of the adapter: its number in the file and the width of its keys and values."""

    number: int
    width: int


@dataclass(frozen=True)
class AdapterSpec:
    """Everything that a file says about itself."""

    file: str
    format: str
    base: BaseModel
    projector: ProjectorSpec
    layers: tuple[LayerSpec, ...]

    @property
    def encoder(self) -> str:
        """The image encoder that the projector's input fits, in words."""
        projector = self.projector
        known = ENCODERS.get((projector.feature, projector.feature_width))
        return known or f"an encoder with {projector.feature.value} of width {projector.feature_width}"

    def describe(self) -> str:
        """What was found, for the node's face: base model, format, tokens, layers, encoder."""
        tokens = f"{self.projector.tokens} image tokens" if self.projector.tokens else "a token for each patch"
        return "\n".join(
            (
                f"{self.base.value}, {self.format}",
                f"{self.projector.kind.value} projector, {tokens}",
                f"{len(self.layers)} cross-attention layers",
                f"image encoder: {self.encoder}",
            )
        )


ENCODERS = {
    (Feature.POOLED, 768): "CLIP ViT-L/14",
    (Feature.POOLED, 1024): "CLIP ViT-H/14 (laion2B)",
    (Feature.POOLED, 1280): "CLIP ViT-bigG/14 (laion2B)",
    (Feature.HIDDEN, 1024): "CLIP ViT-L/14",
    (Feature.HIDDEN, 1280): "CLIP ViT-H/14 (laion2B)",
    (Feature.HIDDEN, 1664): "CLIP ViT-bigG/14 (laion2B)",
}
