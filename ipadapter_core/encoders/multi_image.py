"""Image prompts of more than one source: content and style (CSGO), an image with an instruction (IP-Adapter-Instruct)."""

from typing import NamedTuple

import torch
from torch import Tensor

from comfy.sd import CLIP

from ..checkpoint.spec import AdapterSpec, Feature
from ..errors import ImagePromptError
from ..host import intermediate
from ..prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from .clip_vision import check_connected
from .features import FeatureRequest, picture_features, to_uint8, zero_pixel_features
from .image_encoder import ImageEncoder
from .options import EncodeOptions, describe_source
from .preprocess import pixels_for, preprocessing_for
from .sized_encoder import at_size

EVERY_LAYER = -100  # further back than any text encoder reaches: ComfyUI then takes the last layer with its norm
TEXT_TOKENS = 77  # of CLIP; the reference cuts off what is longer


class Words(NamedTuple):
    """What an instructed adapter is told: what to take from the image, and the prompts of the workflow."""

    instruction: str
    prompt: str
    negative_prompt: str


def encode_content_and_style(
    spec: AdapterSpec, encoder: ImageEncoder | None, content: Tensor, style: Tensor, look: EncodeOptions
) -> tuple[ImagePrompt, Tensor]:
    """Encodes pairs of images (B, H, W, C), the last of either serving all that follow; returns what was seen, too.

    The negative are features of zeros. Source: instantX-research/CSGO (556fb40), ip_adapter/ip_adapter.py, CSGO.
    """
    _check(spec, Feature.CONTENT_AND_STYLE, "Encode Content and Style")
    check_connected(spec, encoder)
    assert encoder is not None
    encoder = at_size(encoder, look.size)
    view = preprocessing_for(spec, encoder, look)
    seen = [pixels_for(encoder, pictures, view, look.mask) for pictures in (content, style)]
    wanted = FeatureRequest(Feature.HIDDEN, spec.projector.feature_width, spec)
    features = [picture_features(wanted, encoder, pixels) for pixels in seen]
    nothing = torch.zeros_like(features[0][:1])
    references: list[Reference] = []
    for i in range(max(len(part) for part in features)):
        pair = tuple(part[min(i, len(part) - 1)].unsqueeze(0) for part in features)
        both = torch.cat([part[min(i, len(part) - 1)] for part in seen], dim=1)  # side by side
        references.append(Reference(EncodedImage(pair, (nothing, nothing), to_uint8(both))))
    made_from = f"content: {describe_source(content, look)}; style: {describe_source(style, look)}"
    prompt = ImagePrompt(tuple(references), spec.projector.feature, spec.encoder, spec.kind, made_from)
    return prompt, torch.cat(seen)


def encode_instructed(
    spec: AdapterSpec, encoder: ImageEncoder | None, clip: CLIP, pictures: Tensor, words: Words, look: EncodeOptions
) -> tuple[ImagePrompt, Tensor]:
    """Encodes images (B, H, W, C) with what should be taken from them; returns what was seen, too.

    The negative is the image of nothing, an empty instruction and the negative prompt: the simple guidance of
    unity-research/IP-Adapter-Instruct (d5fa8b5), ip_adapter/ip_adapter_instruct.py, get_image_embeds.
    """
    _check(spec, Feature.INSTRUCTED, "Encode Instructed Image")
    check_connected(spec, encoder)
    assert encoder is not None
    encoder = at_size(encoder, look.size)
    seen = pixels_for(encoder, pictures, preprocessing_for(spec, encoder, look), look.mask)
    features = picture_features(FeatureRequest(Feature.HIDDEN, spec.projector.feature_width, spec), encoder, seen)
    width = spec.projector.text_width
    instruction, prompt, empty, negative = (
        text_features(clip, text, width) for text in (words.instruction, words.prompt, "", words.negative_prompt)
    )
    against = (zero_pixel_features(encoder), empty, negative)
    references = tuple(
        Reference(EncodedImage((features[i : i + 1], instruction, prompt), against, to_uint8(seen[i])))
        for i in range(len(features))
    )
    made_from = f"{describe_source(pictures, look)}; {words.instruction}"
    return ImagePrompt(references, spec.projector.feature, spec.encoder, spec.kind, made_from), seen


def text_features(clip: CLIP, text: str, width: int) -> Tensor:
    """CLIP-L's last hidden states (1, 77, width) after its norm, whatever layer the workflow's prompts are taken from.

    With two text encoders, as in SDXL, ComfyUI puts CLIP-L's channels first.
    """
    last = clip.clone()
    last.clip_layer(EVERY_LAYER)
    states = last.encode_from_tokens(last.tokenize(text))
    if states.shape[-1] < width:
        raise ImagePromptError(
            f"the text encoder makes features of width {states.shape[-1]}, the adapter reads {width} (CLIP ViT-L/14): connect "
            "the CLIP of the SD1.5 or SDXL checkpoint"
        )
    return intermediate(states[:, :TEXT_TOKENS, :width])


def _check(spec: AdapterSpec, feature: Feature, node: str) -> None:
    if spec.projector.feature is not feature:
        raise ImagePromptError(
            f"{spec.file} ({spec.format}) does not read what {node} makes: use the encode node that fits, or another file in "
            "Load IP-Adapter"
        )
