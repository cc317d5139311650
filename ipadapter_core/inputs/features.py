"""Features of images that were encoded elsewhere, as they come through an EMBEDS socket."""

import math

from torch import Tensor

from ..errors import InputError
from .tensors import described, extremes, tensor_of

EXPECTED = "features [images, width] or [images, tokens, width]"
DIMENSIONS = (
    2,
    3,
    4,
)  # in the first release of ComfyUI_IPAdapter_plus a pair of positive and negative lies in one tensor


def read_features(value: Tensor, where: str) -> Tensor:
    """The very same tensor, with whatever else it carries; raises `InputError` where it cannot be features, or has NaN."""
    features = tensor_of(value, where, EXPECTED)
    usable = features.ndim in DIMENSIONS and features.is_floating_point()
    if not usable or not all(math.isfinite(one) for one in extremes(features.float())):
        raise InputError(
            f"{where}: found {described(features)}, expected {EXPECTED} of finite floating numbers: encode the image with "
            "IPAdapter Encoder"
        )
    return value
