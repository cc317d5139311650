"""A row for each output of an encoder that adapters read: its shape, the node that makes it, the encoders that give it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .enums import BaseModel, Feature

H, BIGG = "CLIP ViT-H/14 (laion2B)", "CLIP ViT-bigG/14 (laion2B)"
BUFFALO, ANTELOPE = "face analysis (buffalo_l)", "face analysis (antelopev2)"
L336 = "CLIP ViT-L/14 at 336 pixels"
EVA = "EVA02-CLIP-L/14-336"
DINO = "DINOv2-giant"
OURS = "(from Load Image Encoder)"
VECTOR, ROWS = 2, 3  # dimensions of (1, E) and of (1, L, E)
REFERENCE_NODE, FACE_NODE = "Encode Reference Image", "Encode Face"


@dataclass(frozen=True)
class FeatureRow:
    """What a feature is made of and by whom.

    `parts` are the dimensions of each of its tensors. `encoders` names image encoders by the width of what they make,
    `by_base` those of base models that have an encoder of their own. `node` encodes it, with the encoder `second`, too, where
    it is made by two.
    """

    parts: tuple[int, ...]
    encoders: Mapping[int, str]
    node: str = REFERENCE_NODE
    by_base: Mapping[BaseModel, str] = field(default_factory=dict[BaseModel, str])
    second: str = ""

    @property
    def from_one_image(self) -> bool:
        """Whether *Encode Reference Image* makes it, of an image alone."""
        return self.node == REFERENCE_NODE

    @property
    def from_faces(self) -> bool:
        """Whether it is made of the identities of faces, with or without their look."""
        return self.node == FACE_NODE

    @property
    def is_vector(self) -> bool:
        """Whether its first tensor is one vector for the whole image."""
        return self.parts[0] == VECTOR


FEATURES: dict[Feature, FeatureRow] = {
    Feature.POOLED: FeatureRow((VECTOR,), {768: "CLIP ViT-L/14", 1024: H, 1280: BIGG}),
    Feature.HIDDEN: FeatureRow(
        (ROWS,),
        {1024: "CLIP ViT-L/14", 1280: H, 1664: BIGG, 1152: "SigLIP-so400m-384"},
        by_base={BaseModel.KOLORS: L336},
    ),
    Feature.STYLE: FeatureRow((VECTOR,), {768: "CSD ViT-L"}),
    Feature.LAST: FeatureRow((ROWS,), {768: f"SigLIP2-base-512 {OURS}"}),
    Feature.PERCEPTION: FeatureRow((ROWS,), {1024: f"PE-Core-L14-336 {OURS}"}),
    Feature.ATTENTION_POOLED: FeatureRow((VECTOR,), {1152: f"SigLIP-so400m-384 {OURS}"}),
    Feature.FACE: FeatureRow((VECTOR,), {512: BUFFALO}, FACE_NODE),
    Feature.RAW_FACE: FeatureRow(
        (VECTOR,), {512: "face analysis (Portrait unnorm: buffalo_l, InstantID: antelopev2)"}, FACE_NODE
    ),
    Feature.FACE_AND_PICTURE: FeatureRow((VECTOR, ROWS, VECTOR), {1280: f"{BUFFALO} and {H}"}, FACE_NODE),
    Feature.RAW_FACE_AND_PICTURE: FeatureRow(
        (VECTOR, ROWS, VECTOR),
        {1024: f"{ANTELOPE} and {L336}"},
        FACE_NODE,
        {BaseModel.KOLORS: f"{ANTELOPE} and {L336}"},
    ),
    Feature.IDENTITY_AND_STATES: FeatureRow(
        (VECTOR, *[ROWS] * 5), {1024: f"{ANTELOPE} with a face parser, and {EVA} {OURS}"}, FACE_NODE
    ),
    Feature.TWO_SCALES: FeatureRow((ROWS, ROWS, ROWS), {2688: f"SigLIP-so400m-384 and {DINO}"}, second=DINO),
    Feature.IR_SE50: FeatureRow((VECTOR,), {512: "face analysis with IR-SE50"}, FACE_NODE),
    Feature.CONTENT_AND_STYLE: FeatureRow((ROWS, ROWS), {1664: BIGG}, "Encode Content and Style"),
    Feature.INSTRUCTED: FeatureRow((ROWS, ROWS, ROWS), {1280: H}, "Encode Instructed Image"),
}


def encoder_name(feature: Feature, width: int, base: BaseModel | None = None) -> str:
    """The image encoder that makes a feature of a width, for a base model, in words."""
    row = FEATURES[feature]
    known = (row.by_base.get(base) if base else None) or row.encoders.get(width)
    return known or f"an encoder with {feature.value} of width {width}"
