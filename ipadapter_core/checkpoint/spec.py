"""The description of an adapter that everything after detection works from."""

from dataclasses import dataclass
from enum import Enum

Shapes = dict[str, tuple[int, ...]]


class Feature(str, Enum):
    """Which output of the image encoder an adapter reads."""

    POOLED = "image_embeds"  # (B, E), after the encoder's projection
    HIDDEN = "penultimate_hidden_states"  # (B, L, E), the last layer but one, class token included
    STYLE = "style_embeds"  # (B, E), of a style encoder, of length one
    FACE = "normed_embedding"  # (B, E), a face's identity, of length one
    RAW_FACE = "embedding"  # (B, E), a face's identity as the recognition model makes it
    FACE_AND_PICTURE = "normed_embedding and picture"  # identity, HIDDEN of the aligned face, how to blend them
    RAW_FACE_AND_PICTURE = "embedding and picture"
    CONTENT_AND_STYLE = "content and style pictures"  # HIDDEN of either
    INSTRUCTED = "picture with instruction"  # HIDDEN, the instruction and the prompt in CLIP-L's words
    LAST = "last_hidden_state"  # (B, L, E), the last layer after its norm
    PERCEPTION = "perception_features"  # (B, L, E), PE-Core's last hidden states
    ATTENTION_POOLED = "pooler_output"  # (B, E), what a SigLIP model's pooling head makes of the last layer


class Negative(str, Enum):
    """What stands in for the reference in the negative pass, where the user gives no picture for it."""

    ZERO_FEATURES = "zeros in place of features"
    ZERO_PIXELS = "a picture that is zero after normalisation"
    BLACK_PICTURE = "a black picture"
    REFERENCE = "the reference itself"


class ProjectorKind(str, Enum):
    """How features become image tokens."""

    LINEAR = "linear"
    MLP = "mlp"
    RESAMPLER = "resampler"
    FACE = "identity"
    FACE_PLUS = "identity and appearance"
    FACE_RESAMPLER = "identity resampler"
    STYLE = "style"
    CONTENT_STYLE = "content and style"
    INSTRUCTED = "instructed resampler"
    MLP_TOKENS = "two-layer"
    TIME_RESAMPLER = "time-dependent resampler"
    PERCEIVER = "perceiver"
    NONE = "no"


class BaseModel(str, Enum):
    """The diffusion model that an adapter was trained for, as its sizes tell."""

    SD15 = "SD1.5"
    SDXL = "SDXL"
    KOLORS = "Kolors"
    OTHER = "another UNet"
    FLUX = "FLUX.1"
    SD35_LARGE = "SD3.5 Large"
    ANIMA = "Anima"


class LayerKind(str, Enum):
    """What a layer of an adapter is made of, beside its key and value projections."""

    PLAIN = "plain"
    BIASED = "with biases"
    NORMED_KEY = "with normalised keys"
    GATED = "with a gate that depends on time"
    SCALED = "with a factor of its own"
    JOINT = "joined to the image's own keys"


@dataclass(frozen=True)
class ProjectorSpec:
    """Sizes of a projector; those that a kind does not have are 0.

    `tokens` is 0 where the projector makes one token of each feature vector. `picture_width` belongs to the hidden states
    that come along with an identity, `text_width` to instructions; `parts` are the projectors inside one of two pictures.
    """

    kind: ProjectorKind
    feature: Feature
    feature_width: int
    context_width: int
    tokens: int = 0
    width: int = 0
    heads: int = 0
    depth: int = 0
    picture_width: int = 0
    text_width: int = 0
    parts: tuple["ProjectorSpec", ...] = ()
    time_width: int = 0
    negative: Negative = Negative.ZERO_FEATURES


@dataclass(frozen=True)
class LayerSpec:
    """One cross-attention layer of the adapter: its number in the file and the width of its keys and values.

    `tokens` are the first and the end of the image tokens that it reads, where that is not all of them.
    """

    number: int
    width: int
    tokens: tuple[int, int] | None = None


@dataclass(frozen=True)
class AdapterSpec:
    """Everything that a file says about itself.

    `text_width` is the width of what its keys and values are made from: that of the image tokens, except where the
    model's own text projection stands in between (Kolors FaceID). `lora_rank` is 0 where the file holds no LoRA of FaceID.
    """

    file: str
    format: str
    base: BaseModel
    projector: ProjectorSpec
    layers: tuple[LayerSpec, ...]
    text_width: int
    lora_rank: int = 0
    layer_kind: LayerKind = LayerKind.PLAIN

    @property
    def encoder(self) -> str:
        """The image encoder that the projector's input fits, in words."""
        projector = self.projector
        if self.base is BaseModel.KOLORS:
            return KOLORS_ENCODERS[projector.feature]
        picture = projector.picture_width or projector.feature_width
        known = ENCODERS.get((projector.feature, picture))
        return known or f"an encoder with {projector.feature.value} of width {projector.feature_width}"

    @property
    def kind(self) -> str:
        """Base model and format in words."""
        return f"{self.base.value}, {self.format}"

    def describe(self) -> str:
        """What was found, for the node's face: base model, format, tokens, layers, encoder."""
        tokens = f"{self.projector.tokens} image tokens" if self.projector.tokens else "a token for each patch"
        return "\n".join(
            (
                self.kind,
                f"{self.projector.kind.value} projector, {tokens}",
                f"{len(self.layers)} cross-attention layers",
                f"image encoder: {self.encoder}",
                *((f"a LoRA of rank {self.lora_rank} inside: Apply FaceID LoRA",) if self.lora_rank else ()),
            )
        )


ENCODERS = {
    (Feature.POOLED, 768): "CLIP ViT-L/14",
    (Feature.POOLED, 1024): "CLIP ViT-H/14 (laion2B)",
    (Feature.POOLED, 1280): "CLIP ViT-bigG/14 (laion2B)",
    (Feature.HIDDEN, 1024): "CLIP ViT-L/14",
    (Feature.HIDDEN, 1280): "CLIP ViT-H/14 (laion2B)",
    (Feature.HIDDEN, 1664): "CLIP ViT-bigG/14 (laion2B)",
    (Feature.STYLE, 768): "CSD ViT-L",
    (Feature.FACE, 512): "face analysis (buffalo_l)",
    (Feature.RAW_FACE, 512): "face analysis (Portrait unnorm: buffalo_l, InstantID: antelopev2)",
    (Feature.FACE_AND_PICTURE, 1280): "face analysis (buffalo_l) and CLIP ViT-H/14 (laion2B)",
    (Feature.CONTENT_AND_STYLE, 1664): "CLIP ViT-bigG/14 (laion2B)",
    (Feature.INSTRUCTED, 1280): "CLIP ViT-H/14 (laion2B)",
    (Feature.HIDDEN, 1152): "SigLIP-so400m-384",
    (Feature.ATTENTION_POOLED, 1152): "SigLIP-so400m-384 (from Load Image Encoder)",
    (Feature.LAST, 768): "SigLIP2-base-512 (from Load Image Encoder)",
    (Feature.PERCEPTION, 1024): "PE-Core-L14-336 (from Load Image Encoder)",
}
KOLORS_ENCODERS = {
    Feature.HIDDEN: "CLIP ViT-L/14 at 336 pixels",
    Feature.RAW_FACE_AND_PICTURE: "face analysis (antelopev2) and CLIP ViT-L/14 at 336 pixels",
}
