"""From images of people to the image prompt of a face adapter."""

from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...checkpoint.enums import BaseModel, Feature, FormatName
from ...checkpoint.features import FEATURES
from ...checkpoint.spec import AdapterSpec
from ...errors import FaceAnalysisError, ImagePromptError
from ...host import intermediate
from ...images.fit import ResizeMode
from ...prompt.features import Features, each, leading
from ...prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from ..clip_vision import check_connected
from ..features import FeatureRequest, picture_features, to_uint8, zero_pixel_features
from ..image_encoder import ImageEncoder
from ..options import describe_source
from ..preprocess import Preprocessing, pixels_for
from .analysis import find_faces
from .geometry import aligned_crop, square_crop
from .ir_se50 import second_identity
from .onnx_session import RECOGNITION_SIZE
from .portrait import portrait, silence
from .preview import draw_faces
from .selection import Choice, Chosen, choose, sources

WITH_PICTURE = (Feature.FACE_AND_PICTURE, Feature.RAW_FACE_AND_PICTURE)
CROPS = {BaseModel.SDXL: 256, BaseModel.WAN: RECOGNITION_SIZE}  # sides of what is shown of a face
RAW = (Feature.RAW_FACE, Feature.RAW_FACE_AND_PICTURE, Feature.IDENTITY_AND_STATES)


class MultiFaceMode(str, Enum):
    """What becomes of several faces."""

    CONCATENATE = "concatenate"
    AVERAGE_PICTURE = "average per picture"
    AVERAGE_ALL = "average all"


class PlusVersion(str, Enum):
    """FaceID Plus and Plus V2 have the same tensors; only their equations differ."""

    AUTO = "auto"
    V1 = "v1"
    V2 = "v2"


NAMED = {FormatName.FACEID_PLUS: PlusVersion.V1, FormatName.FACEID_PLUS_V2: PlusVersion.V2}


class FaceOptions(NamedTuple):
    """How faces become a prompt. `structure` is how much of the face's look goes in beside its identity (Plus V2)."""

    choice: Choice = Choice()
    several: MultiFaceMode = MultiFaceMode.CONCATENATE
    version: PlusVersion = PlusVersion.AUTO
    structure: float = 1.0


class EncodedFaces(NamedTuple):
    """The prompt, the images with boxes (B, H, W, 3), the faces as the encoder saw them (F, S, S, 3), what to say."""

    prompt: ImagePrompt
    boxes: Tensor
    crops: Tensor
    report: str


def encode_faces(
    spec: AdapterSpec, analysis: Any, encoder: ImageEncoder | None, pictures: Tensor, options: FaceOptions
) -> EncodedFaces:
    """Finds faces in images (B, H, W, C) and encodes those that are chosen.

    Raises `ImagePromptError` for adapters that read no faces, `EncoderMismatchError` for a missing or wrong image encoder,
    `FaceAnalysisError` for images without a face under "fail".
    """
    feature = spec.projector.feature
    if not FEATURES[feature].from_faces:
        raise ImagePromptError(
            f"{spec.file} ({spec.format}) reads whole images, not faces: use Encode Reference Image instead of Encode Face"
        )
    if analysis is None:
        raise FaceAnalysisError(
            "no face analysis is connected: connect Load Face Analysis to insightface of Encode Face, and see there what is "
            "missing"
        )
    if feature in WITH_PICTURE:
        check_connected(spec, encoder)
    size = (pictures.shape[1], pictures.shape[2])
    chosen = [choose(find_faces(analysis, picture), options.choice, size) for picture in pictures]
    used = sources([bool(one.taken) for one in chosen], options.choice.no_face)
    blend, said = blending(spec, options)
    faces = {
        number: [
            _encode_face(spec, analysis, encoder, pictures[number], chosen[number].faces[taken], blend)
            for taken in chosen[number].taken
        ]
        for number in {number for number in used if number is not None}
    }
    references = _references([faces[number] if number is not None else [] for number in used], spec, options)
    crops = [face.crop for number in sorted(faces) for face in faces[number]]
    boxes = torch.stack([draw_faces(picture, one) for picture, one in zip(pictures, chosen, strict=True)])
    counted = _counted(chosen, used)
    report = "\n".join(line for line in (counted, said, _trained_with(spec, analysis)) if line)
    made_from = f"{describe_source(pictures)}, {counted}"
    prompt = ImagePrompt(references, feature, spec.encoder, spec.kind, made_from)
    return EncodedFaces(prompt, boxes, torch.stack(crops) if crops else torch.zeros(1, 64, 64, 3), report)


class EncodedFace(NamedTuple):
    """One face: its identity (1, E), what the adapter reads of it, its negative, and the crop (S, S, 3) that was seen."""

    identity: Tensor
    features: Features
    negative: Features
    crop: Tensor


def _encode_face(
    spec: AdapterSpec,
    analysis: Any,
    encoder: ImageEncoder | None,
    picture: Tensor,
    face: Any,
    blend: tuple[float, float],
) -> EncodedFace:
    if face.kps is None or face.embedding is None:
        raise FaceAnalysisError(
            "the INSIGHTFACE object finds faces without landmarks or identity: connect Load Face Analysis instead"
        )
    feature = spec.projector.feature
    vector = face.embedding if feature in RAW else face.normed_embedding
    identity = intermediate(torch.as_tensor(vector)).reshape(1, -1)
    opaque = picture[..., :3].cpu().float()
    if feature is Feature.IR_SE50:
        identity = intermediate(second_identity(analysis, opaque, face, spec.file)).reshape(1, -1)
    if feature is Feature.IDENTITY_AND_STATES:
        return EncodedFace(identity, *portrait(spec, analysis, encoder, opaque, face))
    crop = _crop(spec, encoder, opaque, face)
    nobody = torch.zeros_like(identity)
    if feature not in WITH_PICTURE or encoder is None:
        return EncodedFace(identity, identity, nobody, crop)
    wanted = FeatureRequest(Feature.HIDDEN, spec.projector.picture_width, spec)
    seen = picture_features(
        wanted, encoder, pixels_for(encoder, crop.unsqueeze(0), Preprocessing(ResizeMode.CENTER, None))
    )
    nothing = torch.zeros_like(seen) if feature in RAW else zero_pixel_features(encoder)
    mix = intermediate(torch.tensor([blend]))
    return EncodedFace(identity, (identity, seen, mix), (nobody, nothing, mix), crop)


def _crop(spec: AdapterSpec, encoder: ImageEncoder | None, picture: Tensor, face: Any) -> Tensor:
    """The face as the adapter saw faces in training."""
    if spec.base is BaseModel.KOLORS and encoder is not None:
        left, top, right, bottom = (float(edge) for edge in face.bbox)
        square = square_crop(picture, (left, top, right, bottom))
        return pixels_for(encoder, square.unsqueeze(0), Preprocessing(ResizeMode.STRETCH, None))[0]
    size = CROPS.get(spec.base, 224)
    return aligned_crop(picture, torch.as_tensor(face.kps).float(), size).clamp(0, 1)


def blending(spec: AdapterSpec, options: FaceOptions) -> tuple[tuple[float, float], str]:
    """How much of the identity's tokens and of the face's look goes in, and why, in words."""
    if spec.projector.feature not in WITH_PICTURE:
        return (0.0, 1.0), ""
    version, why = options.version, "as chosen"
    if version is PlusVersion.AUTO:
        version, why = _version(spec)
    said = f"FaceID Plus {version.value}: {why}"
    return ((1.0, options.structure) if version is PlusVersion.V2 else (0.0, 1.0)), said


def _trained_with(spec: AdapterSpec, analysis: Any) -> str:
    """What is to be said of the recognition model: files that are alike inside were trained with different ones."""
    used = getattr(getattr(analysis, "recognition", None), "file", "another pack's face analysis")
    if spec.projector.feature is Feature.IDENTITY_AND_STATES:
        return f"{spec.file} was trained with antelopev2 (glintr100.onnx); these faces are known by {used}"
    if spec.projector.feature is not Feature.RAW_FACE:
        return ""
    return (
        f"{spec.file} does not say whether it is FaceID Portrait unnorm, trained with buffalo_l (w600k_r50.onnx), or "
        f"InstantID, trained with antelopev2 (glintr100.onnx); these faces are known by {used}"
    )


def _version(spec: AdapterSpec) -> tuple[PlusVersion, str]:
    """What there is for the model, what a preset has said, or what the file's name hints at."""
    if spec.base in (BaseModel.SDXL, BaseModel.KOLORS):
        return PlusVersion.V2, f"there is no other for {spec.base.value}"
    if spec.format in NAMED:
        return NAMED[spec.format], "the preset says so"
    named = "v2" in spec.file.lower()
    return PlusVersion.V2 if named else PlusVersion.V1, f"the file name {'says' if named else 'does not say'} v2"


def _references(faces: list[list[EncodedFace]], spec: AdapterSpec, options: FaceOptions) -> tuple[Reference, ...]:
    """A reference for each face, for each image, or one in all; an image without a face keeps a silent place."""
    if options.several is MultiFaceMode.AVERAGE_ALL:
        faces = [[face for group in faces for face in group]]
    silent = Reference(_silence(spec), 0.0)
    if options.several is MultiFaceMode.CONCATENATE:
        one_each = [[Reference(_encoded(face)) for face in group] for group in faces]
        return tuple(reference for group in one_each for reference in (group or [silent]))
    return tuple(Reference(_average(group, spec)) if group else silent for group in faces)


def _encoded(face: EncodedFace) -> EncodedImage:
    return EncodedImage(face.features, face.negative, to_uint8(face.crop))


def _average(faces: list[EncodedFace], spec: AdapterSpec) -> EncodedImage:
    """The mean of several faces, part by part; an identity that had length one has it again."""
    if len(faces) == 1:
        return _encoded(faces[0])
    mean = each(lambda *parts: torch.stack(parts).mean(dim=0), *(face.features for face in faces))
    if spec.projector.feature in RAW:
        return EncodedImage(mean, faces[0].negative)
    identity = leading(mean) / leading(mean).square().sum().sqrt()
    return EncodedImage(identity if isinstance(mean, Tensor) else (identity, *mean[1:]), faces[0].negative)


def _silence(spec: AdapterSpec) -> EncodedImage:
    """Features of the right shape for an image that contributes nothing."""
    projector = spec.projector
    if projector.feature is Feature.IDENTITY_AND_STATES:
        nothing = silence(spec)
        return EncodedImage(nothing, nothing)
    identity = intermediate(torch.zeros(1, projector.feature_width))
    if projector.feature not in WITH_PICTURE:
        return EncodedImage(identity, identity)
    parts = (identity, intermediate(torch.zeros(1, 1, projector.picture_width)), intermediate(torch.zeros(1, 2)))
    return EncodedImage(parts, parts)


def _counted(chosen: list[Chosen], used: list[int | None]) -> str:
    """How many faces were found and taken, and which images had none."""
    found, taken = sum(len(one.faces) for one in chosen), sum(len(one.taken) for one in chosen)
    lines = [f"{found} faces in {len(chosen)} images, {taken} taken"]
    skipped = [str(number) for number, source in enumerate(used) if source is None]
    repeated = [
        f"{number} (as {source})" for number, source in enumerate(used) if source is not None and source != number
    ]
    if skipped:
        lines.append(f"no face, without effect: {', '.join(skipped)}")
    if repeated:
        lines.append(f"no face, repeated: {', '.join(repeated)}")
    return "\n".join(lines)
