"""Faces as the nodes of ComfyUI_IPAdapter_plus take them: the one found with the highest confidence in each image."""

from dataclasses import replace

import torch
from torch import Tensor

from ..checkpoint.spec import AdapterSpec, Feature
from ..encoders.face.encode import WITH_PICTURE, FaceOptions, encode_faces
from ..encoders.face.selection import Choice, FaceOrder, NoFace
from ..encoders.features import FeatureRequest
from ..encoders.image_encoder import ImageEncoder
from ..errors import FaceAnalysisError
from ..images.transparency import laid_on_grey
from ..prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from .encoder_inputs import old_features
from .pipeline import Pipeline
from .request import Request


def encode_face_request(pipeline: Pipeline, request: Request) -> tuple[ImagePrompt, Tensor]:
    """The prompt of the faces in a request's images, and the faces as they were cut out, (F, S, S, 3).

    An image without a face has no effect, or, as it was, is an error. Raises `FaceAnalysisError` where none has one.
    """
    spec = pipeline.adapter.spec
    analysis = request.insightface if request.insightface is not None else pipeline.analysis
    encoder = pipeline.encoder_for(request.clip_vision) if spec.projector.feature in WITH_PICTURE else None
    no_face = NoFace.FAIL if request.as_plus else NoFace.SKIP
    options = FaceOptions(
        Choice(FaceOrder.HIGHEST_CONFIDENCE, 0, no_face), version=request.plus_version, structure=_structure(request)
    )
    assert request.image is not None
    pictures = request.image[..., :3] if request.as_plus else laid_on_grey(request.image)
    pictures = (pictures * 255).clamp(0, 255).floor() / 255 if request.as_plus else pictures
    found = encode_faces(spec, analysis, encoder, pictures, options)
    if not any(reference.weight for reference in found.prompt.references):
        raise FaceAnalysisError(
            f"no face in any of {len(pictures)} images: give images of people in which a face is not cut off"
        )
    prompt = found.prompt
    if not request.unfold:  # an image without a face must not be part of an average
        prompt = prompt.with_references(tuple(one for one in prompt.references if one.weight))
    against = request.image_negative
    if encoder is not None and (request.as_plus or against is not None):
        picture = torch.zeros(1, encoder.image_size, encoder.image_size, 3) if against is None else against
        prompt = _seen_against(prompt, spec, encoder, picture)
    return prompt, found.crops


def _structure(request: Request) -> float:
    """How much of a face's look FaceID Plus V2 takes; nodes that do not ask take twice the weight."""
    if request.weight_faceidv2 is not None:
        return request.weight_faceidv2
    weight = request.weight[0] if isinstance(request.weight, list) else request.weight
    return 2 * weight


def _seen_against(prompt: ImagePrompt, spec: AdapterSpec, encoder: ImageEncoder, picture: Tensor) -> ImagePrompt:
    """The prompt with what the encoder makes of an image as the look in each negative."""
    seen = old_features(FeatureRequest(Feature.HIDDEN, spec.projector.picture_width, spec), encoder, picture)[:1]

    def against(reference: Reference) -> Reference:
        nobody, _, blend = reference.image.negative
        return replace(reference, image=EncodedImage(reference.image.features, (nobody, seen, blend)))

    return prompt.with_references(tuple(against(reference) for reference in prompt.references))
