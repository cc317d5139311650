"""What a weight multiplies: the value alone, or the key as well."""

from enum import Enum

import torch
from torch import Tensor

REFERENCE_WIDTH = 1280  # the layer width at which the channel penalty is neutral


class Scaling(str, Enum):
    """The modes of ComfyUI_IPAdapter_plus' `embeds_scaling`, by the names that workflows use."""

    V_ONLY = "V only"
    K_AND_V = "K+V"
    K_AND_V_PENALTY = "K+V w/ C penalty"
    K_AND_MEAN_V_PENALTY = "K+mean(V) w/ C penalty"


def scale(
    mode: Scaling, key: Tensor, value: Tensor, weight: Tensor, mean: Tensor, width: int | None = None
) -> tuple[Tensor, Tensor]:
    """Keys and values (..., N, D) after `weight` (..., 1 or N, 1); where the weight is 0 the value is 0 in every mode.

    `mean` (..., 1 or N, D) is the mean over the tokens of the reference that a token belongs to, `width` that of the keys
    before they were folded, where they were.
    """
    if mode is Scaling.V_ONLY:
        return key, value * weight
    if mode is not Scaling.K_AND_V:
        weight = weight * ((width or key.shape[-1]) / REFERENCE_WIDTH)
    if mode is Scaling.K_AND_MEAN_V_PENALTY:
        scaled = torch.where(weight == 0, 0, value - mean + mean * weight)
    else:
        scaled = value * weight
    return key * weight, scaled
