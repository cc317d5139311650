"""From the images of a request to an image prompt, in the corrected way or as it was."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoint.features import FEATURES
from ..checkpoint.spec import AdapterSpec, Feature
from ..encoders.clip_vision import encode_references
from ..encoders.features import FeatureRequest, zero_pixel_features
from ..encoders.image_encoder import ImageEncoder
from ..encoders.options import Detail, EncodeOptions
from ..errors import ImagePromptError
from ..prompt.combine import Combination
from ..prompt.features import alone
from ..prompt.image_prompt import EncodedImage, ImagePrompt
from .embeds import Embeds, check_kind, combined_prompt, prompt_of_features
from .encoder_inputs import old_features, old_tile_features
from .faces import encode_face_request
from .pipeline import Pipeline
from .request import Request
from .weight_types import Results

READ_THERE = (Feature.POOLED, Feature.HIDDEN)  # what ComfyUI_IPAdapter_plus knew how to make of an image


class Encoded(NamedTuple):
    """The prompt, and the faces (F, S, S, 3) that it was made from, if it was."""

    prompt: ImagePrompt
    faces: Tensor | None = None


def encode_request(pipeline: Pipeline, request: Request) -> Encoded:
    """The request's images, combined as it says; raises the errors of the encode nodes."""
    spec = pipeline.adapter.spec
    if request.image is None:
        raise ImagePromptError("no image is there to be looked at: connect one to image of this node")
    faces = None
    if FEATURES[spec.projector.feature].from_faces:
        prompt, faces = encode_face_request(pipeline, request)
    elif request.as_plus and spec.projector.feature in READ_THERE:
        prompt = _as_it_was(pipeline, request, request.image)
    else:
        prompt = _corrected(pipeline, request, request.image)
    if not request.unfold:
        prompt = combined_prompt(prompt, Combination(request.combine_embeds), Results(request.results))
    return Encoded(prompt, faces)


def _corrected(pipeline: Pipeline, request: Request, pictures: Tensor) -> ImagePrompt:
    encoder = pipeline.encoder_for(request.clip_vision)
    spec = pipeline.adapter.spec
    prompt, _ = encode_references(spec, encoder, pictures, EncodeOptions(), request.image_negative)
    if request.enhance_tiles < 2:
        return prompt

    def tiles(count: int) -> Tensor:
        close, _ = encode_references(spec, encoder, pictures, EncodeOptions(detail=Detail(count, 1.0)))
        return torch.cat([alone(one.image.features) for one in close.references])

    return _enhanced(prompt, request, tiles)


def _as_it_was(pipeline: Pipeline, request: Request, pictures: Tensor) -> ImagePrompt:
    encoder = pipeline.encoder_for(request.clip_vision)
    spec = pipeline.adapter.spec
    wanted = _wanted(spec)
    features = old_features(wanted, encoder, pictures)
    prompt = prompt_of_features(spec, features, _old_negative(wanted, encoder, features, request.image_negative))
    if request.enhance_tiles < 2:
        return prompt
    return _enhanced(prompt, request, lambda count: old_tile_features(wanted, encoder, pictures, count))


def _old_negative(wanted: FeatureRequest, encoder: ImageEncoder, features: Tensor, picture: Tensor | None) -> Tensor:
    """The features of a negative image, by default of a black one, or zeros for features that are one vector."""
    if picture is None and wanted.feature is Feature.POOLED:
        return torch.zeros_like(features[:1])
    return old_features(wanted, encoder, black_picture(encoder) if picture is None else picture)


def black_picture(encoder: ImageEncoder) -> Tensor:
    """One (1, S, S, 3), at the encoder's size."""
    return torch.zeros(1, encoder.image_size, encoder.image_size, 3)


def _enhanced(prompt: ImagePrompt, request: Request, tiles: Callable[[int], Tensor]) -> ImagePrompt:
    """A lone image, times the ratio, and its tiles become two references; several are mixed with their tiles, each."""
    ratio = request.enhance_ratio
    images = [reference.image for reference in prompt.references]
    whole = [alone(image.features) for image in images]
    detail = torch.split(tiles(request.enhance_tiles), 1)
    if len(images) == 1:
        parts = [whole[0] * ratio, detail[0]]
        images = images * 2
    else:
        parts = [one * ratio + other * (1 - ratio) for one, other in zip(whole, detail, strict=True)]
    made = [EncodedImage(part, image.negative) for part, image in zip(parts, images, strict=True)]
    first = prompt.references[0]
    return prompt.with_references(tuple(replace(first, image=image) for image in made))


def encode_embeds(
    pipeline: Pipeline, pictures: Tensor, weight: float, mask: Tensor | None, encoder: ImageEncoder | None
) -> tuple[Embeds, Embeds]:
    """Images as embeds, times a weight, and the negative that belongs to them."""
    spec = pipeline.adapter.spec
    if spec.projector.feature not in READ_THERE:
        raise ImagePromptError(
            f"{spec.file} ({spec.format}) reads more than an image, which embeds do not hold: use IPAdapter FaceID"
        )
    encoder = pipeline.encoder_for(encoder)
    wanted = _wanted(spec)
    corrected, _ = encode_references(spec, encoder, pictures, EncodeOptions(mask=mask))
    exact = torch.cat([alone(one.image.features) for one in corrected.references])
    against = torch.cat([alone(one.image.negative) for one in corrected.references])
    old = old_features(wanted, encoder, pictures, mask)
    old_against = _old_negative(wanted, encoder, old, None).expand(len(old), *old.shape[1:])
    kind = spec.projector.feature
    return Embeds(exact * weight, old * weight, kind), Embeds(against, old_against, kind)


def prompt_of_embeds(
    pipeline: Pipeline, features: Embeds, negative: Embeds | None, encoder: ImageEncoder | None, results: Results
) -> ImagePrompt:
    """The prompt of embeds for an adapter; without a negative, the usual one for it."""
    spec = pipeline.adapter.spec
    check_kind(features, spec, "pos_embed")
    if negative is not None:
        check_kind(negative, spec, "neg_embed")
    chosen = features.of(results)
    if negative is not None:
        against = negative.of(results)
    elif spec.projector.feature is not Feature.HIDDEN:
        against = torch.zeros_like(chosen[:1])
    else:
        encoder = pipeline.encoder_for(encoder)
        old = results is Results.AS_PLUS
        against = _old_negative(_wanted(spec), encoder, chosen, None) if old else zero_pixel_features(encoder)
    return prompt_of_features(spec, chosen, against)


def _wanted(spec: AdapterSpec) -> FeatureRequest:
    return FeatureRequest(spec.projector.feature, spec.projector.feature_width, spec)
