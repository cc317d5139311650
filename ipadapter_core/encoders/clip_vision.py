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


FROM_PICTURES = (Feature.POOLED, Feature.HIDDEN, Feature.STYLE)
FROM_ZEROS = (Feature.POOLED, Feature.STYLE)  # those whose negative is an embedding of zeros
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
    if spec.projector.feature not in FROM_PICTURES:
        raise EncoderMismatchError(
            f"{spec.file} ({spec.format}) reads more than a picture: use {encode_node(spec)} instead of "
            "Encode Reference Image"
        )
    check_connected(spec, encoder)
    assert encoder is not None
    wanted = Wanted(spec.projector.feature, spec.projector.feature_width, spec)
    seen = pixels_for(encoder, pictures, look)
    features = picture_features(wanted, encoder, seen)
    if negative is not None:
        against = picture_features(wanted, encoder, pixels_for(encoder, negative, Look(look.fit)))
    elif spec.projector.feature in FROM_ZEROS:
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
    name = wanted.feature.value
    outputs = [encoder.encode_image(part, crop=False) for part in pixels.split(AT_ONCE)]
    parts = [getattr(output, name, None) for output in outputs]
    features = None if any(part is None for part in parts) else intermediate(torch.cat(parts))
    if features is None or features.shape[-1] != wanted.width:
        found = "no such output" if features is None else f"width {features.shape[-1]}"
        raise EncoderMismatchError(
            f"the image encoder makes {name} of {found}, but {wanted.spec.file} needs width {wanted.width}: connect "
            f"{wanted.spec.encoder} to clip_vision of {encode_node(wanted.spec)}"
        )
    return features
