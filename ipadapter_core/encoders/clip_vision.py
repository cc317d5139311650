"""ComfyUI's own CLIP vision models as image encoders."""

from typing import NamedTuple

import torch
from torch import Tensor

import comfy.model_management
from comfy.clip_vision import ClipVisionModel

from ..checkpoint.spec import AdapterSpec, Feature
from ..errors import EncoderMismatchError
from ..host import intermediate
from ..image_prompt import EncodedImage, ImagePrompt, Reference
from .fit import Fit, fit_square

AT_ONCE = 16  # pictures that pass the encoder together


class Look(NamedTuple):
    """What the encoder shall look at in a picture: which part of the frame, and under which mask (M, H, W)."""

    fit: Fit = Fit.CENTER
    mask: Tensor | None = None


def encode_references(
    spec: AdapterSpec, encoder: ClipVisionModel | None, pictures: Tensor, look: Look, negative: Tensor | None = None
) -> tuple[ImagePrompt, Tensor]:
    """Encodes pictures (B, H, W, C), each as one reference; returns the prompt and the pixels (B, S, S, 3) that were seen.

    The negative is the reference implementation's: zero embeddings for pooled features, for hidden states what the
    encoder makes of zero pixels after normalisation; or a picture of the caller's.
    Raises `EncoderMismatchError` when there is no encoder or it makes other features than the adapter needs.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py, get_image_embeds.
    """
    if encoder is None:
        raise EncoderMismatchError(
            f"{spec.file} needs an image encoder, none is connected: load {spec.encoder} with Load CLIP Vision and connect "
            "it to clip_vision of Encode Reference Image"
        )
    seen = pixels_for(encoder, pictures, look)
    features = _features(spec, encoder, seen)
    if negative is not None:
        against = _features(spec, encoder, pixels_for(encoder, negative, Look(look.fit)))
    elif spec.projector.feature is Feature.POOLED:
        against = torch.zeros_like(features[:1])
    else:
        against = features_of_nothing(encoder)
    references = tuple(
        Reference(EncodedImage(features[i : i + 1], against[min(i, len(against) - 1)].unsqueeze(0)))
        for i in range(len(features))
    )
    return ImagePrompt(references, spec.projector.feature, spec.encoder), seen


def pixels_for(encoder: ClipVisionModel, pictures: Tensor, look: Look) -> Tensor:
    """The square pictures (B, S, S, 3) that go to the encoder, rounded to 8 bits as it does itself.

    What a mask or transparency hides takes the encoder's mean colour, which it sees as zero.
    """
    mean = torch.tensor(encoder.image_mean)
    size = encoder.image_size
    planes = fit_square(pictures.movedim(-1, 1).float(), size, look.fit, _background(mean, pictures.shape[-1]))
    colours, visible = planes[:, :3], planes[:, 3:4] if planes.shape[1] > 3 else torch.ones_like(planes[:, :1])
    if look.mask is not None:
        shown = fit_square(look.mask.unsqueeze(1).float(), size, look.fit, torch.zeros(1))
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


def _background(mean: Tensor, channels: int) -> Tensor:
    return torch.cat((mean, torch.zeros(max(channels - 3, 0))))


def _features(spec: AdapterSpec, encoder: ClipVisionModel, pixels: Tensor) -> Tensor:
    wanted = spec.projector
    parts = [encoder.encode_image(part, crop=False)[wanted.feature.value] for part in pixels.split(AT_ONCE)]
    features = intermediate(torch.cat(parts))
    if features.shape[-1] != wanted.feature_width:
        raise EncoderMismatchError(
            f"the image encoder makes {wanted.feature.value} of width {features.shape[-1]}, but {spec.file} needs width "
            f"{wanted.feature_width}: connect {spec.encoder} to clip_vision of Encode Reference Image"
        )
    return features
