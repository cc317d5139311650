"""ComfyUI's own CLIP vision models as image encoders."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

import comfy.model_management
from comfy.clip_vision import ClipVisionModel

from ..checkpoint.spec import AdapterSpec, Feature, Negative
from ..errors import EncoderMismatchError
from ..host import intermediate
from ..image_prompt import EncodedImage, ImagePrompt, Reference
from ..sharpen import sharpen
from ..tiles import pool_grid, split_grid
from .fit import Fit, fit_square, stretch
from .look import Look, origin

SIGLIP = "siglip_vision_model"
FROM_PICTURES = (
    Feature.POOLED,
    Feature.HIDDEN,
    Feature.STYLE,
    Feature.LAST,
    Feature.ATTENTION_POOLED,
    Feature.PERCEPTION,
)
VECTORS = (Feature.POOLED, Feature.STYLE, Feature.ATTENTION_POOLED)  # one for each picture
EACH_PATCH = ", one for each patch"
AT_ONCE = 16  # pictures that pass the encoder together

ENCODE_NODES = {
    Feature.FACE: "Encode Face",
    Feature.RAW_FACE: "Encode Face",
    Feature.FACE_AND_PICTURE: "Encode Face",
    Feature.RAW_FACE_AND_PICTURE: "Encode Face",
    Feature.CONTENT_AND_STYLE: "Encode Content and Style",
    Feature.INSTRUCTED: "Encode Instructed Image",
}


class Wanted(NamedTuple):
    """Which output of an encoder is needed, of which width, by which adapter."""

    feature: Feature
    width: int
    spec: AdapterSpec


def encode_references(
    spec: AdapterSpec, encoder: ClipVisionModel | None, pictures: Tensor, look: Look, negative: Tensor | None = None
) -> tuple[ImagePrompt, Tensor]:
    """Encodes pictures (B, H, W, C), each as one reference; returns the prompt and the pixels (B, S, S, 3) that were seen.

    With a closer look those are the pictures that tiles were cut from. The negative is the reference implementation's
    (zeros, or what the encoder makes of zero pixels after normalisation, or of black), or a picture of the caller's.
    Raises `EncoderMismatchError` when there is no encoder or it makes other features than the adapter needs.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py, get_image_embeds.
    """
    if spec.projector.feature not in FROM_PICTURES:
        raise EncoderMismatchError(
            f"{spec.file} ({spec.format}) reads more than a picture: use {encode_node(spec)} instead of "
            "Encode Reference Image"
        )
    check_connected(spec, encoder)
    assert encoder is not None
    wanted = Wanted(spec.projector.feature, spec.projector.feature_width, spec)
    view = view_for(spec, encoder, look)
    features, seen = looked_at(wanted, encoder, pictures, view, look)
    if negative is not None:
        against, _ = looked_at(wanted, encoder, negative, view, look._replace(mask=None))
    elif spec.projector.negative is Negative.ZERO_FEATURES:
        against = torch.zeros_like(features[:1])
    elif spec.projector.negative is Negative.BLACK_PICTURE:
        against = picture_features(wanted, encoder, seen.new_zeros(1, *[encoder.image_size] * 2, 3))
    elif spec.projector.negative is Negative.REFERENCE:
        against = features
    else:
        against = features_of_nothing(encoder)
    references = tuple(
        Reference(EncodedImage(features[i : i + 1], against[min(i, len(against) - 1)].unsqueeze(0), kept(seen[i])))
        for i in range(len(features))
    )
    made_from = origin(pictures, look)
    return ImagePrompt(references, spec.projector.feature, spec.encoder, spec.kind, made_from), seen


def kept(seen: Tensor) -> Tensor:
    """What an encoder saw (H, W, 3), in 8 bits, to be kept with what it made of it."""
    return (seen.detach().cpu() * 255).round().clamp(0, 255).to(torch.uint8)


class View(NamedTuple):
    """How a picture becomes a square: the fit, the colour beside a padded one (None: the encoder's mean), how sharp.

    With `shapes` (height, width) it is stretched to the one whose aspect is nearest, instead of to a square.
    """

    fit: Fit
    bars: float | None
    sharpening: float = 0.0
    shapes: tuple[tuple[int, int], ...] = ()


def view_for(spec: AdapterSpec, encoder: ClipVisionModel, look: Look) -> View:
    """The view that was asked for, or the one that the adapter was trained with."""
    view = trained_view(spec, encoder) if look.fit is Fit.TRAINED else View(look.fit, None)
    return view._replace(sharpening=look.sharpening)


def looked_at(
    wanted: Wanted, encoder: ClipVisionModel, pictures: Tensor, view: View, look: Look
) -> tuple[Tensor, Tensor]:
    """The features of pictures (B, H, W, C), and the pixels that were seen.

    A closer look cuts tiles from a picture as many times larger, so that mask and fit are the same, and mixes what was
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


def trained_view(spec: AdapterSpec, encoder: ClipVisionModel) -> View:
    """What the adapter was trained with: CLIP's centre crop, SigLIP's stretch, PE-Core's nearest aspect, Anima's black bars."""
    if spec.projector.feature is Feature.LAST:
        return View(Fit.PAD, 0.0)
    if spec.projector.feature is Feature.PERCEPTION:
        return View(Fit.STRETCH, None, shapes=getattr(encoder, "shapes", ()))
    return View(Fit.STRETCH if encoder.model_type == SIGLIP else Fit.CENTER, None)


def pixels_for(
    encoder: ClipVisionModel, pictures: Tensor, view: View, mask: Tensor | None = None, times: int = 1
) -> Tensor:
    """The pictures (B, S, S, 3), or of a shape of the view, that go to the encoder, rounded to 8 bits as it does itself.

    With `times` the square is so many times as large.

    What a mask (M, H, W) or transparency hides takes the encoder's mean colour, which it sees as zero.
    """
    mean = torch.tensor(encoder.image_mean)
    size = encoder.image_size * times
    bars = mean if view.bars is None else torch.full((3,), view.bars)
    background = torch.cat((bars, torch.full((max(pictures.shape[-1] - 3, 0),), 0.0 if view.bars is None else 1.0)))
    planes = _fitted(pictures.movedim(-1, 1).float(), size, view, background)
    colours, visible = planes[:, :3], planes[:, 3:4] if planes.shape[1] > 3 else torch.ones_like(planes[:, :1])
    if mask is not None:
        beside = torch.full((1,), 0.0 if view.bars is None else 1.0)
        shown = _fitted(mask.unsqueeze(1).float(), size, view, beside)
        visible = visible * shown[torch.arange(len(colours)).clamp(max=len(shown) - 1)]
    colours = sharpen(colours, view.sharpening)
    seen = visible * colours + (1 - visible) * mean.view(1, 3, 1, 1)
    return (seen.movedim(1, -1) * 255).round() / 255


def _fitted(planes: Tensor, size: int, view: View, background: Tensor) -> Tensor:
    """Planes (B, C, H, W) in the view's nearest shape, or in a square of `size`."""
    if not view.shapes:
        return fit_square(planes, size, view.fit, background)
    aspect = math.log(planes.shape[-2] / planes.shape[-1])
    return stretch(planes, min(view.shapes, key=lambda shape: abs(math.log(shape[0] / shape[1]) - aspect)))


def features_of_nothing(encoder: ClipVisionModel) -> Tensor:
    """The hidden states (1, L, E) of pixels that are zero after normalisation."""
    comfy.model_management.load_model_gpu(encoder.patcher)
    nothing = torch.zeros(1, 3, encoder.image_size, encoder.image_size, device=encoder.load_device)
    with torch.inference_mode():
        hidden = encoder.model(pixel_values=nothing, intermediate_output=-2)[1]
    return intermediate(hidden)


def encode_node(spec: AdapterSpec) -> str:
    """The node that makes what the adapter reads."""
    return ENCODE_NODES.get(spec.projector.feature, "Encode Reference Image")


def check_connected(spec: AdapterSpec, encoder: ClipVisionModel | None) -> None:
    """Raises `EncoderMismatchError` when no image encoder is connected."""
    if encoder is None:
        raise EncoderMismatchError(
            f"{spec.file} needs an image encoder, none is connected: load {spec.encoder} with Load CLIP Vision and connect "
            f"it to clip_vision of {encode_node(spec)}"
        )


def picture_features(wanted: Wanted, encoder: ClipVisionModel, pixels: Tensor) -> Tensor:
    """What the encoder makes of square pictures (B, S, S, 3); raises `EncoderMismatchError` when it is something else."""
    name, spec = wanted.feature.value, wanted.spec
    found = [getattr(encoder.encode_image(part, crop=False), name, None) for part in pixels.split(AT_ONCE)]
    parts = [part for part in found if part is not None]
    if not parts:
        raise EncoderMismatchError(
            f"the image encoder makes no {name}, but {spec.file} needs it: load {spec.encoder} with Load Image Encoder and "
            f"connect it to clip_vision of {encode_node(spec)}"
        )
    features = intermediate(torch.cat(parts))
    vector = wanted.feature in VECTORS
    other = wanted.feature is Feature.LAST and encoder.model_type != SIGLIP
    if features.shape[-1] != wanted.width or features.ndim != (2 if vector else 3) or other:
        raise EncoderMismatchError(
            f"the image encoder makes {name} of width {features.shape[-1]}{'' if features.ndim == 2 else EACH_PATCH}, but "
            f"{spec.file} needs width {wanted.width}{'' if vector else EACH_PATCH}: connect {spec.encoder} to clip_vision of "
            f"{encode_node(spec)}"
        )
    return features
