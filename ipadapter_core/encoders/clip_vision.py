"""ComfyUI's own CLIP vision models as image encoders."""

import torch
from torch import Tensor

from ..checkpoint.enums import Negative
from ..checkpoint.features import FEATURES
from ..checkpoint.spec import AdapterSpec
from ..errors import EncoderMismatchError
from ..prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from .features import FeatureRequest, encode_node, encode_views, picture_features, to_uint8, zero_pixel_features
from .image_encoder import ImageEncoder
from .options import EncodeOptions, describe_source
from .preprocess import preprocessing_for


def encode_references(
    spec: AdapterSpec,
    encoder: ImageEncoder | None,
    pictures: Tensor,
    look: EncodeOptions,
    negative: Tensor | None = None,
) -> tuple[ImagePrompt, Tensor]:
    """Encodes images (B, H, W, C), each as one reference; returns the prompt and the pixels (B, S, S, 3) that were seen.

    With a closer look those are the images that tiles were cut from. The negative is the reference implementation's
    (zeros, or what the encoder makes of zero pixels after normalisation, or of black), or an image of the caller's.
    Raises `EncoderMismatchError` when there is no encoder or it makes other features than the adapter needs.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py, get_image_embeds.
    """
    if not FEATURES[spec.projector.feature].from_one_image:
        raise EncoderMismatchError(
            f"{spec.file} ({spec.format}) reads more than an image: use {encode_node(spec)} instead of "
            "Encode Reference Image"
        )
    check_connected(spec, encoder)
    assert encoder is not None
    wanted = FeatureRequest(spec.projector.feature, spec.projector.feature_width, spec)
    view = preprocessing_for(spec, encoder, look)
    features, seen = encode_views(wanted, encoder, pictures, view, look)
    if negative is not None:
        against, _ = encode_views(wanted, encoder, negative, view, look._replace(mask=None))
    elif spec.projector.negative is Negative.ZERO_FEATURES:
        against = torch.zeros_like(features[:1])
    elif spec.projector.negative is Negative.BLACK_PICTURE:
        against = picture_features(wanted, encoder, seen.new_zeros(1, *[encoder.image_size] * 2, 3))
    elif spec.projector.negative is Negative.REFERENCE:
        against = features
    else:
        against = zero_pixel_features(encoder)
    references = tuple(
        Reference(EncodedImage(features[i : i + 1], against[min(i, len(against) - 1)].unsqueeze(0), to_uint8(seen[i])))
        for i in range(len(features))
    )
    made_from = describe_source(pictures, look)
    return ImagePrompt(references, spec.projector.feature, spec.encoder, spec.kind, made_from), seen


def check_connected(spec: AdapterSpec, encoder: ImageEncoder | None) -> None:
    """Raises `EncoderMismatchError` when no image encoder is connected."""
    if encoder is None:
        raise EncoderMismatchError(
            f"{spec.file} needs an image encoder, none is connected: load {spec.encoder} with Load CLIP Vision and connect "
            f"it to clip_vision of {encode_node(spec)}"
        )
