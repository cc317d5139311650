"""What PuLID reads of a face: its identity beside a pooled look at it, and five hidden states of EVA02-CLIP.

Source: ToTheBeginning/PuLID (1aa2fc7), pulid/pipeline_flux.py, get_id_embedding; facexlib (260620a), the template and the
colour beside the image in utils/face_restoration_helper.py. One detection serves identity and crop, so that two faces
cannot be mixed; theirs detects twice.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...checkpoint.pulid_formats import STATES
from ...checkpoint.spec import AdapterSpec
from ...errors import EncoderMismatchError, FaceAnalysisError
from ...host import intermediate
from ...prompt.features import Features, each
from ..eva_clip import fitted
from .geometry import similarity, warp
from .parser import WHERE

SIDE, LONGEST = 512, 1024  # of the aligned face, and of the image that it is cut out of
BESIDE = torch.tensor((132.0, 133.0, 135.0)) / 255  # the colour outside the image
TEMPLATE = torch.tensor(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ]
)
BACKGROUND = torch.tensor(
    (0, 7, 8, 9, 14, 15, 16, 18)
)  # classes that are white: beside, ears, neck, cloth, hat; hair stays
GREY = torch.tensor((0.299, 0.587, 0.114))
PLACES = {1024: 577}  # hidden states of the published encoder by its width: EVA02-CLIP-L/14 at 224 makes fewer


class Portrait(NamedTuple):
    """What the adapter reads of a face, its negative, and the face (512, 512, 3) as the encoder saw it."""

    features: Features
    negative: Features
    seen: Tensor


def portrait(spec: AdapterSpec, analysis: Any, encoder: Any, picture: Tensor, face: Any) -> Portrait:
    """Encodes a face of an image (H, W, 3).

    Raises `FaceAnalysisError` without a face parser, `EncoderMismatchError` for another encoder or none.
    """
    seen = face_alone(aligned_face(picture, torch.as_tensor(face.kps).float()), analysis)
    pooled, states = _look(spec, encoder, seen)
    identity = intermediate(torch.as_tensor(face.embedding)).reshape(1, -1)
    condition = torch.cat((identity, pooled / pooled.square().sum(dim=-1, keepdim=True).sqrt()), dim=-1)
    if condition.shape[-1] != spec.projector.feature_width:
        raise EncoderMismatchError(
            f"identity and pooled face are {condition.shape[-1]} numbers, {spec.file} needs {spec.projector.feature_width}: "
            f"connect {spec.encoder} to insightface and clip_vision of Encode Face"
        )
    features = (condition, *states.unbind(dim=1))
    return Portrait(features, each(_nothing, features), seen)


def silence(spec: AdapterSpec) -> Features:
    """Features of the right shape for an image that contributes nothing."""
    condition = intermediate(torch.zeros(1, spec.projector.feature_width))
    state = intermediate(torch.zeros(1, 2, spec.projector.picture_width))  # of a class token and one patch
    return condition, *[state] * STATES


def aligned_face(picture: Tensor, landmarks: Tensor) -> Tensor:
    """The face upright at FFHQ's place (512, 512, 3); large images are made smaller first."""
    height, width = picture.shape[:2]
    ratio = min(1.0, LONGEST / max(height, width))
    if ratio < 1:
        size = (round(height * ratio), round(width * ratio))
        planes = picture.movedim(-1, 0).unsqueeze(0)
        picture = interpolate(planes, size, mode="bicubic", antialias=True)[0].movedim(0, -1).clamp(0, 1)
    crop = warp(picture - BESIDE, similarity(landmarks * ratio, TEMPLATE), SIDE)
    return (crop + BESIDE).clamp(0, 1)


def face_alone(crop: Tensor, analysis: Any) -> Tensor:
    """The face in grey on white (S, S, 3). Raises `FaceAnalysisError` where the analysis has no parser."""
    parser = getattr(analysis, "parser", None)
    if parser is None:
        raise FaceAnalysisError(
            f"the face analysis has no face parser, which PuLID needs to see the face alone: {WHERE}, and connect Load Face "
            "Analysis to insightface of Encode Face"
        )
    beside = torch.isin(parser.classes(crop), BACKGROUND).unsqueeze(-1)
    return torch.where(beside, torch.ones(()), (crop * GREY).sum(dim=-1, keepdim=True)).expand(-1, -1, 3)


def _look(spec: AdapterSpec, encoder: Any, seen: Tensor) -> tuple[Tensor, Tensor]:
    """The pooled vector (1, E) and the hidden states (1, 5, L, D) of a face."""
    width = spec.projector.picture_width
    made = None if encoder is None else encoder.encode_image(fitted(seen.unsqueeze(0), encoder.image_size), crop=False)
    states = getattr(made, "inner_hidden_states", None)
    places = PLACES.get(width)
    if made is None or states is None or states.shape[-1] != width or states.shape[-2] != (places or states.shape[-2]):
        found = "no image encoder" if made is None else "another image encoder"
        if states is not None:
            found = f"an EVA02-CLIP of {states.shape[-2]} places of width {states.shape[-1]}"
        raise EncoderMismatchError(
            f"{spec.file} needs hidden states of width {width}{f' in {places} places' if places else ''}, found {found}: load "
            "EVA02_CLIP_L_336_psz14_s6B.pt with Load Image Encoder and connect it to clip_vision of Encode Face"
        )
    return intermediate(made.inner_pooled), intermediate(states)


def _nothing(part: Tensor) -> Tensor:
    """Zeros of a shape that take no memory for the places."""
    return torch.zeros_like(part[..., :1]).expand_as(part)
