"""Rows for the face, style and instruction adapters; keys are those below `image_proj.`.

Layouts: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter_faceid.py and ip_adapter_faceid_separate.py;
Kwai-Kolors/Kolors, kolors/models/ipa_faceid_plus; instantX-research/CSGO (556fb40); unity-research/IP-Adapter-Instruct
(d5fa8b5); aihao2000/IP-Adapter-Art (9890667).
"""

from .formats import IDENTITY_WIDTH, RESAMPLER_KEYS, Format, measure_resampler
from .spec import BaseModel, Feature, ProjectorKind, ProjectorSpec, Shapes

PORTRAIT_TOKENS = 16
KOLORS_TEXT_WIDTH = 4096  # of Kolors' text before the UNet's own projection
PERCEIVER = "perceiver_resampler."
FACE_KEYS = frozenset({"proj.0.weight", "proj.2.weight", "norm.weight"})
PERCEIVER_KEYS = FACE_KEYS | {f"{PERCEIVER}proj_in.weight", f"{PERCEIVER}layers.0.0.to_q.weight"}
INSTRUCTED_KEYS = RESAMPLER_KEYS | {"proj_new_input.weight", "proj_prompt_input.weight"}
PAIR_KEYS = frozenset(f"{part}.{key}" for part in ("content", "style") for key in RESAMPLER_KEYS)


def _tokens(shapes: Shapes) -> int:
    return shapes["proj.2.weight"][0] // shapes["norm.weight"][0]


def _face(shapes: Shapes, _context_width: int) -> ProjectorSpec:
    width, identity = shapes["proj.0.weight"]
    return ProjectorSpec(
        ProjectorKind.FACE, Feature.FACE, identity, shapes["norm.weight"][0], tokens=_tokens(shapes), width=width
    )


def _face_plus(shapes: Shapes, _context_width: int) -> ProjectorSpec:
    width, identity = shapes["proj.0.weight"]
    return ProjectorSpec(
        ProjectorKind.FACE_PLUS,
        Feature.RAW_FACE_AND_PICTURE if _of_kolors(shapes) else Feature.FACE_AND_PICTURE,
        identity,
        shapes["norm.weight"][0],
        tokens=_tokens(shapes),
        width=width,
        heads=shapes[f"{PERCEIVER}layers.0.0.to_q.weight"][0] // 64,
        depth=1 + max(int(key.split(".")[2]) for key in shapes if key.startswith(f"{PERCEIVER}layers.")),
        picture_width=shapes[f"{PERCEIVER}proj_in.weight"][1],
    )


def _identity_resampler(shapes: Shapes, context_width: int) -> ProjectorSpec:
    return measure_resampler(shapes, context_width, kind=ProjectorKind.FACE_RESAMPLER, feature=Feature.RAW_FACE)


def _style(shapes: Shapes, context_width: int) -> ProjectorSpec:
    outputs, feature_width = shapes["image_embeds.weight"]
    tokens = outputs // shapes["norm.weight"][0]
    return ProjectorSpec(ProjectorKind.STYLE, Feature.STYLE, feature_width, context_width, tokens=tokens)


def _content_style(shapes: Shapes, context_width: int) -> ProjectorSpec:
    parts = tuple(measure_resampler(_below(f"{part}.", shapes), context_width) for part in ("content", "style"))
    return ProjectorSpec(
        ProjectorKind.CONTENT_STYLE,
        Feature.CONTENT_AND_STYLE,
        parts[0].feature_width,
        context_width,
        tokens=sum(part.tokens for part in parts),
        parts=parts,
    )


def _instructed(shapes: Shapes, context_width: int) -> ProjectorSpec:
    return measure_resampler(
        shapes,
        context_width,
        kind=ProjectorKind.INSTRUCTED,
        feature=Feature.INSTRUCTED,
        text_width=shapes["proj_new_input.weight"][1],
    )


def _below(prefix: str, shapes: Shapes) -> Shapes:
    return {key[len(prefix) :]: shape for key, shape in shapes.items() if key.startswith(prefix)}


def _identity_alone(shapes: Shapes) -> bool:
    return f"{PERCEIVER}proj_in.weight" not in shapes


def _of_kolors(shapes: Shapes) -> bool:
    return shapes["norm.weight"][0] == KOLORS_TEXT_WIDTH


FACE_FORMATS = (
    Format("FaceID", FACE_KEYS, _face, lambda shapes: _identity_alone(shapes) and _tokens(shapes) != PORTRAIT_TOKENS),
    Format(
        "FaceID Portrait",
        FACE_KEYS,
        _face,
        lambda shapes: _identity_alone(shapes) and _tokens(shapes) == PORTRAIT_TOKENS,
    ),
    Format("FaceID Plus or Plus V2", PERCEIVER_KEYS, _face_plus, lambda shapes: not _of_kolors(shapes)),
    Format("FaceID Plus", PERCEIVER_KEYS, _face_plus, _of_kolors, BaseModel.KOLORS),
    Format(
        "FaceID Portrait unnorm or InstantID",
        RESAMPLER_KEYS,
        _identity_resampler,
        lambda shapes: shapes["proj_in.weight"][1] == IDENTITY_WIDTH,
    ),
    Format("IP-Adapter-Instruct", INSTRUCTED_KEYS, _instructed),
    Format("IP-Adapter-Art", frozenset({"image_embeds.weight", "norm.weight"}), _style),
    Format("CSGO", PAIR_KEYS, _content_style, base=BaseModel.SDXL),
)
