"""Images and words as directions in one space: what CLIP-I and CLIP-T compare.

CLIP-I and CLIP-T are the cosines of Ye et al. 2023, "IP-Adapter", section 4.2, there in CLIP ViT-L/14; here in the space of
whatever encoder is connected, so numbers of two encoders cannot be compared.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

import comfy.model_management
from comfy.clip_vision import Output
from comfy.sd import CLIP

from ..encoders.features import AT_ONCE
from ..encoders.image_encoder import ImageEncoder
from ..errors import EncoderMismatchError
from ..host import intermediate

TEXT_MODELS = ("l", "g", "h")  # ComfyUI's names for CLIP's text models
COLOURS = {
    "red": (0.9, 0.05, 0.05), "green": (0.05, 0.6, 0.1), "blue": (0.05, 0.1, 0.9), "yellow": (0.95, 0.9, 0.1),
    "black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0), "pink": (1.0, 0.5, 0.75), "orange": (1.0, 0.5, 0.0),
}  # fmt: skip


class TextModel(NamedTuple):
    """One of CLIP's text models inside a CLIP: its name there, the network, and its projection (E, D), if it has one."""

    name: str
    network: Any
    projection: Tensor | None


def picture_directions(encoder: ImageEncoder, pictures: Sequence[Tensor]) -> Tensor:
    """Images (B, H, W, C) of any sizes as unit vectors, (all B, E), from the square in the middle of each."""
    parts = [part for batch in pictures for part in torch.split(batch[..., :3], AT_ONCE)]
    with torch.inference_mode():
        return torch.cat([normalize(_pooled(encoder.encode_image(part, crop=True)), dim=-1) for part in parts])


def _pooled(output: Output) -> Tensor:
    """One vector for each image, (B, E): a pooling head's, the projected class token, or the mean over the patches."""
    pooled = getattr(output, "pooler_output", None)
    vectors = intermediate(output.image_embeds if pooled is None else pooled)
    return vectors if vectors.ndim == 2 else vectors.mean(dim=1)


def text_direction(clip: CLIP, text: str, width: int) -> Tensor:
    """A text as a unit vector (1, E) in an image encoder's space of a width.

    Raises `EncoderMismatchError` where none of CLIP's text models has a projection into a space of this width.
    """
    tokens = clip.tokenize(text)
    found = [model for model in _text_models(clip) if model.name in tokens]
    fitting = [model for model in found if model.projection is not None and model.projection.shape[0] == width]
    if not fitting:
        raise EncoderMismatchError(
            f"the prompt cannot be scored in the space of the image encoder (width {width}): found {_listed(found)}. Connect "
            "a CLIP that was trained with this image encoder and keeps its projection: the CLIP of an SDXL checkpoint beside "
            "CLIP ViT-bigG, or Load CLIP with the text model of CLIP ViT-L or ViT-H, to clip of Score Images"
        )
    name, network, _ = fitting[0]
    comfy.model_management.load_model_gpu(clip.patcher)
    network.set_clip_options({"projected_pooled": True, "execution_device": clip.patcher.load_device})
    try:
        with torch.inference_mode():
            pooled = network.encode_token_weights(tokens[name])[1]
    finally:
        network.reset_clip_options()
    return normalize(intermediate(pooled), dim=-1)


def _text_models(clip: CLIP) -> list[TextModel]:
    pairs = [(name, getattr(clip.cond_stage_model, f"clip_{name}", None)) for name in TEXT_MODELS]
    return [TextModel(name, network, _projection(network)) for name, network in pairs if network is not None]


def _projection(network: Any) -> Tensor | None:
    """The text projection, None where it cannot be one: ComfyUI leaves it empty where a file, such as SD1.5's, has none."""
    layer = getattr(network.transformer, "text_projection", None)
    if layer is None or layer.weight is None:
        return None
    weight = layer.weight.detach().float().cpu()
    filled = bool(weight.isfinite().all()) and bool(weight.any())
    return weight if filled and not torch.equal(weight, torch.eye(*weight.shape)) else None


def agreement(encoder: ImageEncoder, clip: CLIP) -> int:
    """Of how many plain colours, out of eight, the image is nearest to its own name: 1 by chance, most for a true pair.

    Two models may have the same width and know nothing of each other; this tells, without a list of files.
    """
    plain = torch.tensor(list(COLOURS.values())).view(-1, 1, 1, 3).expand(-1, 64, 64, -1)
    pictures = picture_directions(encoder, [plain])
    texts = torch.cat([text_direction(clip, f"a plain {name} picture", pictures.shape[-1]) for name in COLOURS])
    return matches(pictures, texts)


def matches(pictures: Tensor, texts: Tensor) -> int:
    """How many of images (N, E) are nearest to the text of their own row (N, E), each side about its own mean."""
    one, other = (normalize(side - side.mean(dim=0), dim=-1) for side in (pictures, texts))
    return int(((one @ other.T).argmax(dim=1) == torch.arange(len(one), device=one.device)).sum())


def _listed(models: Sequence[TextModel]) -> str:
    if not models:
        return "no text model of CLIP"
    return ", ".join(
        f"CLIP-{one.name.upper()} "
        + ("without a projection" if one.projection is None else f"into width {one.projection.shape[0]}")
        for one in models
    )
