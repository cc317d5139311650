"""From pixels to the features that an adapter reads, checked."""

from typing import NamedTuple

import torch
from torch import Tensor

import comfy.model_management

from ..checkpoint.enums import Feature
from ..checkpoint.features import FEATURES
from ..checkpoint.spec import AdapterSpec
from ..errors import EncoderMismatchError
from ..host import intermediate
from ..images.tiles import pool_grid, split_grid
from ..quoting import listed
from .image_encoder import ImageEncoder
from .options import EncodeOptions
from .preprocess import SIGLIP, Preprocessing, pixels_for

EACH_PATCH = ", one for each patch"


AT_ONCE, AT_ONCE_SIDE = 16, 512  # images of how many pixels that pass the encoder together; fewer of larger ones


class FeatureRequest(NamedTuple):
    """Which output of an encoder is needed, of which width, by which adapter."""

    feature: Feature
    width: int
    spec: AdapterSpec


def to_uint8(seen: Tensor) -> Tensor:
    """What an encoder saw (H, W, 3), in 8 bits, to be kept with what it made of it."""
    return (seen.detach().cpu() * 255).round().clamp(0, 255).to(torch.uint8)


def encode_views(
    wanted: FeatureRequest, encoder: ImageEncoder, pictures: Tensor, view: Preprocessing, look: EncodeOptions
) -> tuple[Tensor, Tensor]:
    """The features of images (B, H, W, C), and the pixels that were seen.

    A closer look cuts tiles from an image as many times larger, so that mask and fit are the same, and mixes what was
    seen in them with what was seen in the whole.
    """
    seen = pixels_for(encoder, pictures, view, look.mask)
    features = picture_features(wanted, encoder, seen)
    count, share = look.detail
    if not look.detail.looks:
        return features, seen
    large = pixels_for(encoder, pictures, view, look.mask, count)
    close = pool_grid(picture_features(wanted, encoder, split_grid(large, count)), count)
    return torch.lerp(features, close, share), large


def zero_pixel_features(encoder: ImageEncoder) -> Tensor:
    """The hidden states (1, L, E) of pixels that are zero after normalisation."""
    comfy.model_management.load_model_gpu(encoder.patcher)
    nothing = torch.zeros(1, 3, encoder.image_size, encoder.image_size, device=encoder.load_device)
    with torch.inference_mode():
        hidden = encoder.model(pixel_values=nothing, intermediate_output=-2)[1]
    return intermediate(hidden)


def encode_node(spec: AdapterSpec) -> str:
    """The node that makes what the adapter reads."""
    return FEATURES[spec.projector.feature].node


def width_of(encoder: ImageEncoder, feature: Feature) -> int:
    """How wide an output of an encoder is. Raises `EncoderMismatchError` where it makes none of the kind."""
    seen = torch.full((1, encoder.image_size, encoder.image_size, 3), 0.5)
    with torch.no_grad():
        found = getattr(encoder.encode_image(seen, crop=False), feature.value, None)
    if found is None:
        row = FEATURES[feature]
        known = sorted({*row.encoders.values(), *row.by_base.values()})
        raise EncoderMismatchError(
            f"the image encoder makes no {feature.value}, which adapters for this model read; expected {listed(known)}: "
            "connect it to clip_vision of New IP-Adapter"
        )
    return found.shape[-1]


def picture_features(wanted: FeatureRequest, encoder: ImageEncoder, pixels: Tensor) -> Tensor:
    """What the encoder makes of square images (B, S, S, 3); raises `EncoderMismatchError` when it is something else."""
    name, spec = wanted.feature.value, wanted.spec
    count = max(AT_ONCE * AT_ONCE_SIDE**2 // max(pixels.shape[1] * pixels.shape[2], AT_ONCE_SIDE**2), 1)
    with torch.no_grad():  # in a script, which is not in inference mode as a workflow is
        found = [getattr(encoder.encode_image(part, crop=False), name, None) for part in torch.split(pixels, count)]
    parts = [part for part in found if part is not None]
    if not parts:
        raise EncoderMismatchError(
            f"the image encoder makes no {name}, but {spec.file} needs it: load {spec.encoder} with Load Image Encoder and "
            f"connect it to clip_vision of {encode_node(spec)}"
        )
    features = intermediate(torch.cat(parts))
    vector = FEATURES[wanted.feature].is_vector
    other = wanted.feature is Feature.LAST and encoder.model_type != SIGLIP
    if features.shape[-1] != wanted.width or features.ndim != (2 if vector else 3) or other:
        raise EncoderMismatchError(
            f"the image encoder makes {name} of width {features.shape[-1]}{'' if features.ndim == 2 else EACH_PATCH}, but "
            f"{spec.file} needs width {wanted.width}{'' if vector else EACH_PATCH}: connect {spec.encoder} to clip_vision of "
            f"{encode_node(spec)}"
        )
    return features
