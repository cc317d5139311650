"""One image as one reference, for every adapter that reads images alone."""

from torch import Tensor

from ..checkpoint.features import FEATURES
from ..checkpoint.spec import AdapterSpec
from ..prompt.image_prompt import ImagePrompt
from .clip_vision import encode_references
from .image_encoder import ImageEncoder
from .options import EncodeOptions
from .two_scales import encode_at_two_scales

Encoders = tuple[ImageEncoder | None, ImageEncoder | None]


def encode_one_by_one(
    spec: AdapterSpec, encoders: Encoders, pictures: Tensor, look: EncodeOptions, negative: Tensor | None = None
) -> tuple[ImagePrompt, Tensor]:
    """Encodes images (B, H, W, C), each as one reference, through one encoder, or through both where an adapter takes two.

    Returns the prompt and the pixels (B, S, S, 3) that were seen. Raises `EncoderMismatchError` where an encoder is missing or
    makes other features than the adapter reads.
    """
    if FEATURES[spec.projector.feature].second:
        return encode_at_two_scales(spec, encoders, pictures, look, negative)
    return encode_references(spec, encoders[0], pictures, look, negative)
