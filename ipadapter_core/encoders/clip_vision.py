"""ComfyUI's own CLIP vision models as image encoders."""

from typing import NamedTuple

import torch
from torch import Tensor

import comfy.model_management
from comfy.clip_vision import ClipVisionModel

from ..checkpoint.spec import AdapterSpec, Feature, Negative
from ..errors import EncoderMismatchError
from ..host import intermediate
from ..image_prompt import EncodedImage, ImagePrompt, Reference
from .fit import Fit, fit_square

SIGLIP = "siglip_vision_model"
AT_ONCE = 16  # pictures that pass the encoder together


class Look(NamedTuple):
    """What the encoder shall look at in a picture: which part of the frame, and under which mask (M, H, W)."""

    fit: Fit = Fit.TRAINED
    mask: Tensor | None = None


def encode_references(
    spec: AdapterSpec, encoder: ClipVisionModel | None, pictures: Tensor, look: Look, negative: Tensor | None = None
) -> tuple[ImagePrompt, Tensor]:
    """Encodes pictures (B, H, W, C), each as one reference; returns the prompt and the pixels (B, S, S, 3) that were seen.

    The negative is the reference implementation's (zeros, or what the encoder makes of zero pixels after normalisation, or
    of black), or a picture of the caller's.
    Raises `EncoderMismatchError` when there is no encoder or it makes other features than the adapter needs.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py, get_image_embeds.
    """
    if encoder is None:
        raise EncoderMismatchError(
            f"{spec.file} needs an image encoder, none is connected: load {spec.encoder} with Load CLIP Vision and connect "
            "it to clip_vision of Encode Reference Image"
        )
    view = trained_view(spec, encoder) if look.fit is Fit.TRAINED else View(look.fit, None)
    seen = pixels_for(encoder, pictures, view, look.mask)
    features = _features(spec, encoder, seen)
    if negative is not None:
        against = _features(spec, encoder, pixels_for(encoder, negative, view))
    elif spec.projector.negative is Negative.ZERO_FEATURES:
        against = torch.zeros_like(features[:1])
    elif spec.projector.negative is Negative.BLACK_PICTURE:
        against = _features(spec, encoder, torch.zeros_like(seen[:1]))
    else:
        against = features_of_nothing(encoder)
    references = tuple(
        Reference(EncodedImage(features[i : i + 1], against[min(i, len(against) - 1)].unsqueeze(0)))
        for i in range(len(features))
    )
    return ImagePrompt(references, spec.projector.feature, spec.encoder), seen


class View(NamedTuple):
    """How a picture becomes a square: the fit, and the colour beside a padded picture (None: the encoder's mean)."""

    fit: Fit
    bars: float | None


def trained_view(spec: AdapterSpec, encoder: ClipVisionModel) -> View:
    """What the adapter was trained with: CLIP's centre crop, SigLIP's stretch, or Anima's padding with black."""
    if spec.projector.feature is Feature.LAST:
        return View(Fit.PAD, 0.0)
    return View(Fit.STRETCH if encoder.model_type == SIGLIP else Fit.CENTER, None)


def pixels_for(encoder: ClipVisionModel, pictures: Tensor, view: View, mask: Tensor | None = None) -> Tensor:
    """The square pictures (B, S, S, 3) that go to the encoder, rounded to 8 bits as it does itself.

    What a mask (M, H, W) or transparency hides takes the encoder's mean colour, which it sees as zero.
    """
    mean = torch.tensor(encoder.image_mean)
    size = encoder.image_size
    bars = mean if view.bars is None else torch.full((3,), view.bars)
    background = torch.cat((bars, torch.full((max(pictures.shape[-1] - 3, 0),), 0.0 if view.bars is None else 1.0)))
    planes = fit_square(pictures.movedim(-1, 1).float(), size, view.fit, background)
    colours, visible = planes[:, :3], planes[:, 3:4] if planes.shape[1] > 3 else torch.ones_like(planes[:, :1])
    if mask is not None:
        shown = fit_square(
            mask.unsqueeze(1).float(), size, view.fit, torch.full((1,), 0.0 if view.bars is None else 1.0)
        )
        visible = visible * shown[torch.arange(len(colours)).clamp(max=len(shown) - 1)]
    seen = visible * colours + (1 - visible) * mean.view(1, 3, 1, 1)
    return (seen.movedim(1, -1) * 255).round() / 255


def features_of_nothing(encoder: ClipVisionModel) -> Tensor:
    """The hidden states (1, L, E) of pixels that are zero after normalisation."""
    comfy.model_management.load_model_gpu(encoder.patcher)
    nothing = torch.zeros(1, 3, encoder.image_size, encoder.image_size, device=encoder.load_device)
    with torch.inference_mode():
        hidden = encoder.model(pixel_values=nothing, intermediate_output=-2)[1]
    return intermediate(hidden)


def _features(spec: AdapterSpec, encoder: ClipVisionModel, pixels: Tensor) -> Tensor:
    wanted = spec.projector
    found = [
        getattr(encoder.encode_image(part, crop=False), wanted.feature.value, None) for part in pixels.split(AT_ONCE)
    ]
    parts = [part for part in found if part is not None]
    if not parts:
        raise EncoderMismatchError(
            f"the image encoder makes no {wanted.feature.value}, but {spec.file} needs it: load {spec.encoder} with Load Image "
            "Encoder and connect it to clip_vision of Encode Reference Image"
        )
    features = intermediate(torch.cat(parts))
    pooled = wanted.feature in (Feature.POOLED, Feature.ATTENTION_POOLED)
    other = wanted.feature is Feature.LAST and encoder.model_type != SIGLIP
    if features.shape[-1] != wanted.feature_width or features.ndim != (2 if pooled else 3) or other:
        raise EncoderMismatchError(
            f"the image encoder makes {wanted.feature.value} of width {features.shape[-1]}"
            f"{'' if features.ndim == 2 else ', one for each patch'}, but {spec.file} needs width {wanted.feature_width}"
            f"{'' if pooled else ', one for each patch'}: connect {spec.encoder} to clip_vision of Encode Reference Image"
        )
    return features
