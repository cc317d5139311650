"""What an adapter can be, as enums: they decide, their values are words for people."""

from enum import Enum


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
    IR_SE50 = "IR-SE50 identity"  # (B, E), a face's identity by facexlib's ArcFace, of length one
    IDENTITY_AND_STATES = "embedding and hidden states"  # raw identity beside the pooled face, five hidden states of it
    TWO_SCALES = (
        "hidden states at two scales"  # of two encoders: last ones, those of early layers, last ones of quadrants
    )


class Negative(str, Enum):
    """What stands in for the reference in the negative pass, where the user gives no image for it."""

    ZERO_FEATURES = "zeros in place of features"
    ZERO_PIXELS = "an image that is zero after normalisation"
    BLACK_PICTURE = "a black image"
    GREY_PICTURE = "a grey image"
    REFERENCE = "the reference itself"


class Joining(str, Enum):
    """What becomes of several references that are attended to together."""

    BESIDE = "the tokens of each beside one another"
    READ_TOGETHER = "read by the projector as one"
    IDENTITY_BESIDE = "of all but the first the identity's tokens alone"


class Overlap(str, Enum):
    """What becomes of references under masks of their own, where these overlap."""

    ADDED = "added up"
    ONE_SOFTMAX = "attended to together, the tokens of each in its place only"


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
    ID_FORMER = "IDFormer"
    ID_ENCODER = "identity and hidden states"
    TWO_SCALES = "cross-layer and cross-scale"
    NONE = "no"
    SECOND_FILE = "second file's"  # not in this file


class FormatName(str, Enum):
    """What a kind of adapter is called; as text it is its readable name."""

    BASE = "base"
    FULL_FACE = "full face"
    PLUS = "plus"
    FACEID = "FaceID"
    PORTRAIT = "FaceID Portrait"
    FACEID_PLUS_ANY = "FaceID Plus or Plus V2"  # the same tensors; only their equations differ
    FACEID_PLUS = "FaceID Plus"
    FACEID_PLUS_V2 = "FaceID Plus V2"
    IDENTITY_RESAMPLER = "FaceID Portrait unnorm or InstantID"
    INSTRUCT = "IP-Adapter-Instruct"
    ART = "IP-Adapter-Art"
    CSGO = "CSGO"
    XLABS = "XLabs"
    INSTANTX = "InstantX"
    LUCIFERTC = "LuciferTC"
    PE_CORE = "PE-Core perceiver"
    PULID = "PuLID"
    PULID_V1 = "PuLID v1"
    PULID_V1_1 = "PuLID v1.1"
    LYNX = "Lynx"
    INSTANT_CHARACTER = "InstantCharacter"

    def __str__(self) -> str:
        """The readable name, in every Python version."""
        return self.value


class BaseModel(str, Enum):
    """The diffusion model that an adapter was trained for, as its sizes tell."""

    SD15 = "SD1.5"
    SDXL = "SDXL"
    KOLORS = "Kolors"
    OTHER = "another UNet"
    FLUX = "FLUX.1"
    SD35_LARGE = "SD3.5 Large"
    ANIMA = "Anima"
    WAN = "Wan 14B"


class LayerKind(str, Enum):
    """What a layer of an adapter is made of, beside its key and value projections."""

    PLAIN = "plain"
    BIASED = "with biases"
    NORMED_KEY = "with normalised keys"
    GATED = "with a gate that depends on time"
    SCALED = "with a factor of its own"
    JOINT = "joined to the image's own keys"
    OWN = "a cross-attention of its own"
    WIDE_NORM = "with keys normalised over all heads at once"
    MODEL_NORM = "with registers, and keys under the model's own norm"
    OWN_NORMS = "with norms of its own for queries and keys"
