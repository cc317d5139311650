"""A large or long image as tiles, each a reference with a place of its own in the result."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checkpoint.spec import AdapterSpec
from ..images.tiles import cut, tile_boxes, tile_counts, tile_masks
from ..prompt.combine import combine, weigh
from ..prompt.image_prompt import ImagePrompt
from .clip_vision import encode_references
from .image_encoder import ImageEncoder
from .options import EncodeOptions


class EncodedTiles(NamedTuple):
    """A prompt over tiles, the tiles as the encoder saw them (T * B, S, S, 3), and their places in the result (T, H, W)."""

    prompt: ImagePrompt
    tiles: Tensor
    masks: Tensor


def encode_tiles(
    spec: AdapterSpec,
    encoder: ImageEncoder | None,
    pictures: Tensor,
    look: EncodeOptions,
    across: int = 0,
    negative: Tensor | None = None,
) -> EncodedTiles:
    """Cuts images (B, H, W, C) into squares, `across` along the shorter side (0: as `tile_counts` says), encodes each.

    A tile acts where it was in the image, the image stretched over the result; the same tile of several images
    acts together. Raises what `encode_references` raises.
    """
    size = (pictures.shape[1], pictures.shape[2])
    boxes = tile_boxes(*size, *tile_counts(*size, across))
    mask = None if look.mask is None else torch.cat(cut(_like(look.mask, pictures), boxes))
    prompt, seen = encode_references(spec, encoder, torch.cat(cut(pictures, boxes)), look._replace(mask=mask), negative)
    masks = tile_masks(boxes, *size)
    count = len(pictures)
    placed = [
        weigh(prompt.with_references(prompt.references[tile * count : tile * count + count]), 1.0, masks[tile])
        for tile in range(len(boxes))
    ]
    return EncodedTiles(combine(placed), seen, masks)


def _like(mask: Tensor, pictures: Tensor) -> Tensor:
    """A mask (M, H', W') for each image, (B, H, W), the last one for all that follow."""
    values = interpolate(mask.unsqueeze(1).float(), size=pictures.shape[1:3], mode="bilinear", antialias=True)[:, 0]
    return values[torch.arange(len(pictures)).clamp(max=len(values) - 1)]
