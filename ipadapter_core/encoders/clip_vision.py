"""ComfyUI's own CLIP vision models as image encoders."""

from dataclasses import replace

import torch
from torch import Tensor

from ..checkpoint.enums import Negative
from ..checkpoint.features import FEATURES
from ..checkpoint.spec import AdapterSpec
from ..errors import EncoderMismatchError
from ..prompt.features import alone
from ..prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from .features import FeatureRequest, encode_node, encode_views, picture_features, to_uint8, zero_pixel_features
from .image_encoder import ImageEncoder
from .options import EncodeOptions, MaskUse, NegativeChoice, describe_source
from .patch_selection import dimmed, selected_patches
from .preprocess import preprocessing_for
from .sized_encoder import at_size

PLAIN = {Negative.BLACK_PICTURE: 0, Negative.GREY_PICTURE: 128}  # of 255
CHOSEN = {NegativeChoice.GREY: Negative.GREY_PICTURE}


def encode_references(
    spec: AdapterSpec,
    encoder: ImageEncoder | None,
    pictures: Tensor,
    look: EncodeOptions,
    negative: Tensor | None = None,
) -> tuple[ImagePrompt, Tensor]:
    """Encodes images (B, H, W, C), each as one reference; returns the prompt and the pixels (B, S, S, 3) that were seen.

    With a closer look those are the images that tiles were cut from. The negative is the reference implementation's
    (zeros, or what the encoder makes of zero pixels after normalisation, or of black), or as `look` chooses, or an image of
    the caller's. Grey is that of LuciferTC9527/ComfyUI-Anima_IP-Adapter (70fdc5b6), nodes.py.
    Raises `EncoderMismatchError` when there is no encoder or it makes other features than the adapter needs.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py, get_image_embeds.
    """
    _check_one_image(spec)
    check_connected(spec, encoder)
    assert encoder is not None
    encoder = at_size(encoder, look.size)
    wanted = FeatureRequest(spec.projector.feature, spec.projector.feature_width, spec)
    view = preprocessing_for(spec, encoder, look)
    mask = look.mask if look.mask_use is MaskUse.PATCHES else None
    features, seen = encode_views(wanted, encoder, pictures, view, look if mask is None else look._replace(mask=None))
    if negative is not None:
        against, _ = encode_views(wanted, encoder, negative, view, look._replace(mask=None))
    else:
        against = _nothing(wanted, encoder, CHOSEN.get(look.negative, spec.projector.negative), features)
    encoded = _encoded(features, against, seen)
    if mask is not None:
        selected = selected_patches(spec, mask, view, features, seen)
        encoded = [_only(image, rows) for image, rows in zip(encoded, selected, strict=True)]
        seen = dimmed(seen, selected)
    references = tuple(Reference(image) for image in encoded)
    made_from = describe_source(pictures, look)
    return ImagePrompt(references, spec.projector.feature, spec.encoder, spec.kind, made_from), seen


def _encoded(features: Tensor, against: Tensor, seen: Tensor) -> list[EncodedImage]:
    """Each image's features, its negative (the last one repeats) and its pixels."""
    return [
        EncodedImage(features[i : i + 1], against[min(i, len(against) - 1)].unsqueeze(0), to_uint8(seen[i]))
        for i in range(len(features))
    ]


def _nothing(wanted: FeatureRequest, encoder: ImageEncoder, kind: Negative, features: Tensor) -> Tensor:
    """What stands in for references of these features in the negative pass."""
    if kind is Negative.ZERO_FEATURES:
        return torch.zeros_like(features[:1])
    if kind is Negative.REFERENCE:
        return features
    if kind is Negative.ZERO_PIXELS:
        return zero_pixel_features(encoder)
    return picture_features(wanted, encoder, torch.full((1, *[encoder.image_size] * 2, 3), PLAIN[kind] / 255))


def _only(image: EncodedImage, selected: Tensor) -> EncodedImage:
    """The same patches (L) of an image and of its negative, so that both are about as much of an image."""
    features, negative = alone(image.features), alone(image.negative)
    return replace(image, features=features[:, selected], negative=negative[:, selected])


def _check_one_image(spec: AdapterSpec) -> None:
    """Raises `EncoderMismatchError` where an adapter reads more than an image through one encoder."""
    row = FEATURES[spec.projector.feature]
    if not row.from_one_image:
        raise EncoderMismatchError(
            f"{spec.file} ({spec.format}) reads more than an image: use {encode_node(spec)} instead of "
            "Encode Reference Image"
        )
    if row.second:
        raise EncoderMismatchError(
            f"{spec.file} ({spec.format}) looks at an image through two encoders, expected an adapter that takes one: use "
            f"{encode_node(spec)} with SigLIP-so400m-384 and {row.second} on clip_vision and second_clip_vision"
        )


def check_connected(spec: AdapterSpec, encoder: ImageEncoder | None) -> None:
    """Raises `EncoderMismatchError` when no image encoder is connected."""
    if encoder is None:
        raise EncoderMismatchError(
            f"{spec.file} needs an image encoder, none is connected: load {spec.encoder} with Load CLIP Vision and connect "
            f"it to clip_vision of {encode_node(spec)}"
        )
