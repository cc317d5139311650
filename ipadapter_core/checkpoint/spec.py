"""The description of an adapter that everything after detection works from."""

from dataclasses import dataclass
from typing import NewType

from .enums import BaseModel, Feature, FormatName, Joining, LayerKind, Negative, Overlap, ProjectorKind
from .features import encoder_name

Shapes = dict[str, tuple[int, ...]]
FileNumber = NewType(
    "FileNumber", int
)  # of a layer as its file has it: 1, 3, 5 of UNets; its place among them is an index


@dataclass(frozen=True)
class ProjectorSpec:
    """Sizes of a projector; those that a kind does not have are 0.

    `tokens` is 0 where the projector makes one token of each feature vector. `picture_width` belongs to the hidden states
    that come along with an identity, `text_width` to instructions; `parts` are the projectors inside one of two images;
    `blocks` are those of either kind that stand before a resampler.
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
    joining: Joining = Joining.BESIDE
    overlap: Overlap = Overlap.ADDED
    blocks: int = 0


@dataclass(frozen=True)
class LayerSpec:
    """One cross-attention layer of the adapter: its number in the file and its width in the model.

    `tokens` are the first and the end of the image tokens that it reads, where that is not all of them. `inner` is the width
    of its keys and values where that is not the model's, because it brings its own query and output projections. `registers`
    are learned tokens that it reads beside a reference's.
    """

    number: FileNumber
    width: int
    tokens: tuple[int, int] | None = None
    inner: int = 0
    registers: int = 0


@dataclass(frozen=True)
class AdapterSpec:
    """Everything that a file says about itself.

    `text_width` is the width of what its keys and values are made from: that of the image tokens, except where the
    model's own text projection stands in between (Kolors FaceID). `lora_rank` is 0 where the file holds no LoRA of FaceID.
    """

    file: str
    format: FormatName
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
        return encoder_name(projector.feature, projector.picture_width or projector.feature_width, self.base)

    @property
    def kind(self) -> str:
        """Base model and format in words."""
        return f"{self.base.value}, {self.format}"

    def describe(self) -> str:
        """What was found, for the node's face: base model, format, tokens, layers, encoder."""
        tokens = f"{self.projector.tokens} image tokens" if self.projector.tokens else "a token for each patch"
        projector = f"{self.projector.kind.value} projector, {tokens}"
        if self.projector.kind is ProjectorKind.SECOND_FILE:
            projector = f"its resampler, for image tokens of width {self.text_width}, is a second file"
        return "\n".join(
            (
                self.kind,
                projector,
                f"{len(self.layers)} cross-attention layers",
                f"image encoder: {self.encoder}",
                *((f"a LoRA of rank {self.lora_rank} inside: Apply FaceID LoRA",) if self.lora_rank else ()),
            )
        )
