"""What the nodes did that ComfyUI_IPAdapter_plus had until March 2024, in terms of ours.

Source: the behaviour of 6a411dc (2024-02-13) and what led up to it, restated.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate, pad
from torchvision.transforms.functional import InterpolationMode, center_crop, resize

from ..checkpoint.features import FEATURES
from ..errors import ImagePromptError
from ..images.noise import warped
from ..prompt.combine import Combination
from ..weights.scaling import Scaling
from .apply import Applied, apply_embeds, apply_request
from .embeds import Embeds, combine_embeds, embeds_of
from .encode import encode_request
from .pipeline import Pipeline
from .prepare_image import Crop, prepared
from .request import Request

SCALINGS = {
    "original": Scaling.V_ONLY,
    "linear": Scaling.K_AND_V,
    "channel penalty": Scaling.K_AND_MEAN_V_PENALTY,
}  # by its weight types
TILE = 224
BORDER = 30
OUTPUTS = {True: "penultimate_hidden_states", False: "image_embeds"}  # whether the adapter is a plus adapter


class Tile(NamedTuple):
    """A part (1, S, S, C) of an image and how strongly it acts where, (1, H, W)."""

    image: Tensor
    mask: Tensor


def apply_first(model: Any, pipeline: Pipeline, request: Request, noise: float) -> Applied:
    """A clone of the model under a request, whose negative is the reference made noisy where `noise` is not 0."""
    if noise <= 0 or request.image is None:
        return apply_request(model, pipeline, request)
    image = request.image
    if FEATURES[pipeline.adapter.spec.projector.feature].from_faces:
        crops = encode_request(pipeline, request).faces
        image = image if crops is None else crops
    return apply_request(model, pipeline, replace(request, image_negative=noisy(image, noise)))


def noisy(images: Tensor, noise: float) -> Tensor:
    """Images (B, H, W, C) as (B, 224, 224, C), warped, turned half round and made noisy; less noise the nearer to 1."""
    planes = center_crop(images[..., :3].movedim(-1, 1), [min(images.shape[1:3])])
    small = resize(planes, [TILE, TILE], InterpolationMode.BICUBIC, antialias=True).movedim(1, -1)
    generator = Generator().manual_seed(0)
    turned = warped(small, noise, generator)
    grain = torch.empty_like(turned).normal_(generator=generator)
    return (turned + (0.25 * (1 - noise) + 0.05) * grain).clamp(0, 1)


def apply_tiles(model: Any, pipeline: Pipeline, request: Request, noise: float, tiles: list[Tile]) -> Applied:
    """One application for each tile in its place."""
    applied = Applied(model)
    for tile in tiles:
        part = replace(request, image=tile.image, attn_mask=tile.mask)
        applied = apply_first(applied.model, pipeline, part, noise)
    return applied


def tiles_of(image: Tensor, count: int, weight: float) -> list[Tile]:
    """Tiles of 224 pixels of the first image, `count` along its short side, acting with `weight`.

    Where there are several rows and columns, larger tiles, one along the short side, act with weight 1 as well. What is
    left over along the long side is cut off evenly when it is less than a quarter of a tile, else a tile more overlaps.
    """
    height, width = image.shape[1:3]
    short = TILE * count
    size = (short, width * short // height) if height <= width else (height * short // width, short)
    planes = interpolate(image[:1].movedim(-1, 1), size=size, mode="bicubic")
    rows, columns = (_starts(length) for length in size)
    single = len(rows) == 1 or len(columns) == 1
    large = [] if single else tiles_of(image, 1, 1.0)
    tiles = [_tile(planes, row, column, 1.0 if single else weight) for row in rows for column in columns]
    return [*large, *tiles]


def _starts(length: int) -> list[int]:
    count, rest = divmod(length, TILE)
    if rest >= TILE // 4:
        return [min(TILE * index, length - TILE) for index in range(count + 1)]
    return [rest // 2 + TILE * index for index in range(count)]


def _tile(planes: Tensor, row: int, column: int, weight: float) -> Tile:
    inside = (slice(None), slice(row, row + TILE), slice(column, column + TILE))
    mask = torch.zeros(1, *planes.shape[-2:])
    mask[inside] = weight
    return Tile(planes.movedim(1, -1)[inside].clamp(0, 1), mask)


def prepared_for_faces(images: Tensor, crop: Crop, sharpening: float, border: bool) -> Tensor:
    """Images (B, H, W, C) as squares of 640 pixels, 30 of them a white border on each side where wanted."""
    size = 640 - 2 * BORDER if border else 640
    square = prepared(images, "LANCZOS", crop, sharpening, size)
    return pad(square, (0, 0, BORDER, BORDER, BORDER, BORDER), value=1.0) if border else square


def first_embeds(encoder: Any, inputs: dict[str, Any]) -> Tensor:
    """Embeds of that time, (2, N, ...): the features of up to four images times their weights squared, and their negatives.

    Raises `ImagePromptError` where there is nothing to encode, or nothing to encode it with.
    """
    places = [place for place in range(1, 5) if inputs.get(f"image_{place}") is not None]
    if encoder is None or not places:
        raise ImagePromptError(
            "IPAdapter Encoder: found neither ipadapter with image, nor clip_vision with image_1 as until March 2024: connect "
            "IPAdapter Unified Loader to ipadapter and an image to image"
        )
    images = [inputs[f"image_{place}"][..., :3] for place in places]
    name = OUTPUTS[bool(inputs.get("ipadapter_plus", inputs.get("plus")))]
    weights = [inputs.get(f"weight_{place}", 1.0) ** 2 for place in places]
    features = torch.cat(
        [encoder.encode_image(one)[name] * weight for one, weight in zip(images, weights, strict=True)]
    )
    return torch.stack((features, _against(encoder, name, images, inputs.get("noise", 0.0)).expand_as(features)))


def _against(encoder: Any, name: str, images: list[Tensor], noise: float) -> Tensor:
    if noise > 0:
        return torch.cat([encoder.encode_image(noisy(one, noise))[name] for one in images])
    black = encoder.encode_image(torch.zeros(1, TILE, TILE, 3))[name]
    return black if name == OUTPUTS[True] else torch.zeros_like(black)


def apply_pair(model: Any, pipeline: Pipeline, request: Request, embeds: Any) -> Any:
    """A clone of the model under embeds of that time, which hold their negative, or under those of today."""
    given = embeds_of(embeds)
    if given.kind is not None:
        return apply_embeds(model, pipeline, request, given, None)
    positive, negative = _halves(given)
    return apply_embeds(model, pipeline, request, positive, negative)


def join_pairs(first: Any, second: Any) -> Tensor:
    """The images of both."""
    given = [embeds_of(one) for one in (first, second)]
    if all(one.kind is None for one in given):
        return torch.cat([one.corrected for one in given], dim=1)
    return combine_embeds(given, Combination.CONCAT)


def _halves(embeds: Embeds) -> tuple[Embeds, Embeds]:
    if embeds.ndim not in (3, 4) or len(embeds) != 2:
        raise ImagePromptError(
            f"embeds: found a tensor of shape {list(embeds.shape)}, expected embeds and their negative, 2 x images x ...: "
            "connect the encoder of the same release, or use IPAdapter Embeds"
        )
    positive, negative = embeds.corrected
    return Embeds(positive, positive), Embeds(negative, negative)
