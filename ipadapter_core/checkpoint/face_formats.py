"""Rows for the face, style and instruction adapters; keys are those below `image_proj.`.

Layouts: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter_faceid.py and ip_adapter_faceid_separate.py;
Kwai-Kolors/Kolors, kolors/models/ipa_faceid_plus; instantX-research/CSGO (556fb40); unity-research/IP-Adapter-Instruct
(d5fa8b5); aihao2000/IP-Adapter-Art (9890667).
"""

from .enums import BaseModel, Feature, FormatName, ProjectorKind
from .formats import HEAD_WIDTH, IDENTITY_WIDTH, RESAMPLER, Format, depth, dimensions, measure_resampler
from .spec import ProjectorSpec, Shapes

PORTRAIT_TOKENS = 16
KOLORS_TEXT_WIDTH = 4096  # of Kolors' text before the UNet's own projection
PERCEIVER = "perceiver_resampler."
FACE = dimensions("norm.weight", "proj.0.weight proj.2.weight")
FACE_PLUS = FACE | dimensions(matrices=f"{PERCEIVER}proj_in.weight {PERCEIVER}layers.0.0.to_q.weight")
INSTRUCTED = RESAMPLER | dimensions(matrices="proj_new_input.weight proj_prompt_input.weight")
PAIR = {f"{part}.{key}": count for part in ("content", "style") for key, count in RESAMPLER.items()}
FACE_RENAMES = (
    (r"(content|style)_image_proj\.", r"image_proj.\1."),
    (r"encoder_hid_proj\.image_projection_layers\.0\.", "image_proj."),
)


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
        heads=shapes[f"{PERCEIVER}layers.0.0.to_q.weight"][0] // HEAD_WIDTH,
        depth=depth(shapes, f"{PERCEIVER}layers."),
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


def _is_faceid(shapes: Shapes) -> bool:
    return _identity_alone(shapes) and _tokens(shapes) != PORTRAIT_TOKENS


def _is_portrait(shapes: Shapes) -> bool:
    return _identity_alone(shapes) and _tokens(shapes) == PORTRAIT_TOKENS


def _reads_identities(shapes: Shapes) -> bool:
    return shapes["proj_in.weight"][1] == IDENTITY_WIDTH


FACE_FORMATS = (
    Format(FormatName.FACEID, FACE, _face, _is_faceid),
    Format(FormatName.PORTRAIT, FACE, _face, _is_portrait),
    Format(FormatName.FACEID_PLUS_ANY, FACE_PLUS, _face_plus, lambda shapes: not _of_kolors(shapes)),
    Format(FormatName.FACEID_PLUS, FACE_PLUS, _face_plus, _of_kolors, BaseModel.KOLORS),
    Format(FormatName.IDENTITY_RESAMPLER, RESAMPLER, _identity_resampler, _reads_identities),
    Format(FormatName.INSTRUCT, INSTRUCTED, _instructed),
    Format(FormatName.ART, dimensions("norm.weight", "image_embeds.weight"), _style),
    Format(FormatName.CSGO, PAIR, _content_style, base=BaseModel.SDXL),
)
