"""An image encoder that looks at squares of another size than it was trained on: its table of positions is stretched.

Source: transformers, models/clip/modeling_clip.py, CLIPVisionEmbeddings.interpolate_pos_encoding, and SigLIP's: bicubic, the
class token's position kept.
"""

import math
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from comfy.clip_model import CLIPVisionEmbeddings

from ..errors import EncoderMismatchError
from ..limits import ENCODER_SIDE
from .hugging_face import HuggingFaceEncoder
from .image_encoder import ImageEncoder

TO_POSITIONS = ("vision_model", "embeddings", "position_embedding")  # from one of ComfyUI's CLIP and SigLIP models


def at_size(encoder: ImageEncoder, size: int) -> ImageEncoder:
    """The encoder for squares of `size` pixels, sharing its layers; 0 or its own size are the encoder itself.

    Raises `EncoderMismatchError` for a size that its patches do not fill, and for encoders of one size.
    """
    if size in (0, encoder.image_size):
        return encoder
    embeddings = getattr(getattr(encoder.model, "vision_model", None), "embeddings", None)
    twin: Any = copy(encoder)
    twin.image_size = size
    if isinstance(encoder, HuggingFaceEncoder):  # transformers stretches the table itself
        _check(size, encoder.model.network.config.patch_size)
    elif isinstance(embeddings, CLIPVisionEmbeddings):
        patch = embeddings.patch_embedding.weight.shape[-1]
        _check(size, patch)
        table = stretched(embeddings.position_embedding.weight.detach(), size // patch)
        twin.model = _with_positions(encoder.model, TO_POSITIONS, table)
    else:
        raise EncoderMismatchError(
            f"the image encoder, a {encoder.model_type}, looks at images only at its own {encoder.image_size} pixels, found a "
            f"size of {size}: set size of the encode node to 0, or connect a CLIP or SigLIP encoder"
        )
    return twin


def stretched(table: Tensor, side: int) -> Tensor:
    """A table of positions (L, D), of a square grid and before it of a class token if there is one, for a grid of `side`."""
    own = math.isqrt(table.shape[0])
    before = table.shape[0] - own**2
    grid = torch.unflatten(table[before:].float().T, 1, (own, own)).unsqueeze(0)
    grid = interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat((table[:before].float(), grid[0].flatten(1).T))


def _check(size: int, patch: int) -> None:
    if size % patch or not 0 < size <= ENCODER_SIDE:
        near = min(max(round(size / patch), 1), ENCODER_SIDE // patch) * patch
        raise EncoderMismatchError(
            f"found a size of {size} pixels, expected a multiple of {patch} up to {ENCODER_SIDE}, the side of this image "
            f"encoder's patches, such as {near}: change size of the encode node"
        )


def _with_positions(module: nn.Module, path: tuple[str, ...], table: Tensor) -> nn.Module:
    """The module with other positions at the end of a path; all else is shared, and nothing in it is changed."""
    twin = copy(module)
    if not path:
        vars(twin)["_parameters"] = {"weight": nn.Parameter(table, requires_grad=False)}
        return twin
    inner: dict[str, nn.Module] = dict(module.named_children())
    vars(twin)["_modules"] = inner | {path[0]: _with_positions(inner[path[0]], path[1:], table)}
    return twin
