"""An image through two encoders, as a whole and in quadrants: what InstantCharacter reads.

    last = SigLIP and DINOv2, their last hidden states side by side, of the whole image
    early = the same of layers 7, 13, 26 and 9, 19, 29, one after the other
    closer = their last hidden states of the four quadrants of the image at twice the size, one after the other

Source: Tencent/InstantCharacter (202b193), pipeline.py, encode_image_emb. Shapes: L patches of one look, E
channels of both.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoint.features import DINO
from ..checkpoint.spec import AdapterSpec
from ..errors import EncoderMismatchError
from ..host import intermediate
from ..images.fit import ResizeMode, stretch
from ..images.tiles import split_grid
from ..images.transparency import laid_on_grey
from ..prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from .clip_vision import check_connected
from .dinov2 import KIND, HiddenStates, dino_states
from .features import encode_node, to_uint8
from .image_encoder import ImageEncoder
from .options import EncodeOptions, MaskUse, NegativeChoice, describe_source
from .preprocess import SIGLIP, Preprocessing, pixels_for
from .sized_encoder import at_size

SIGLIP_LAYERS, DINO_LAYERS = (7, 13, 26), (9, 19, 29)  # the early ones, counted from 1
SIGLIP_DEPTH = 27  # layers of SigLIP-so400m
ACROSS = 2  # quadrants along each side
WHITE, GREY = (1.0, 1.0, 1.0), 128 / 255  # what lies behind a figure, and the grey image
Features = tuple[Tensor, Tensor, Tensor]


class EncoderPair(NamedTuple):
    """SigLIP and DINOv2."""

    siglip: ImageEncoder
    dino: ImageEncoder


def encode_at_two_scales(
    spec: AdapterSpec,
    encoders: tuple[ImageEncoder | None, ImageEncoder | None],
    pictures: Tensor,
    look: EncodeOptions,
    negative: Tensor | None = None,
) -> tuple[ImagePrompt, Tensor]:
    """Encodes images (B, H, W, C), each as one reference; returns the prompt and the pixels (B, S, S, 3) that were seen.

    The two encoders may come in either order. What is transparent or masked is white, as the publishers advise; the negative
    is the reference itself, or as `look` chooses, or an image of the caller's.
    Raises `EncoderMismatchError` where an encoder is missing or makes other features than the adapter reads.
    """
    pair = _pair(spec, encoders)
    if look.mask is not None and look.mask_use is MaskUse.PATCHES:
        raise EncoderMismatchError(
            f"{spec.file} ({spec.format}) looks at an image twice, so that no patches can be selected, expected a mask over "
            "pixels: set mask_use of Encode Reference Image to 'pixels'"
        )
    seen, closer = _views(pair, pictures, look)
    features = [_features(spec, pair, *views) for views in zip(seen, closer, strict=True)]
    against = _negatives(spec, pair, look, negative)
    references = tuple(
        Reference(EncodedImage(one, against[min(i, len(against) - 1)] if against else one, to_uint8(seen[i])))
        for i, one in enumerate(features)
    )
    made_from = describe_source(pictures, look)
    return ImagePrompt(references, spec.projector.feature, spec.encoder, spec.kind, made_from), seen


def _pair(spec: AdapterSpec, encoders: tuple[ImageEncoder | None, ImageEncoder | None]) -> EncoderPair:
    """Which is which, by their kinds."""
    check_connected(spec, encoders[0])
    by_kind = {one.model_type: one for one in encoders if one is not None}
    siglip, dino = by_kind.get(SIGLIP), by_kind.get(KIND)
    if siglip is None or dino is None:
        found = " and ".join(by_kind)
        raise EncoderMismatchError(
            f"{spec.file} reads an image through SigLIP-so400m-384 and {DINO}, found {found}: load the other one with "
            f"Load CLIP Vision or Load Image Encoder and connect both to {encode_node(spec)}, one to clip_vision and one to "
            "second_clip_vision"
        )
    return EncoderPair(siglip, dino)


def _views(pair: EncoderPair, pictures: Tensor, look: EncodeOptions) -> tuple[Tensor, Tensor]:
    """Images as a whole (B, S, S, 3), and the quadrants (B, 4, S, S, 3) of the same at twice the size."""
    opaque = laid_on_grey(pictures, torch.tensor(WHITE))
    fit = look.fit
    if fit is ResizeMode.TRAINED:  # stretched to a square of the longer side, as published, and only then to a size
        fit, side = ResizeMode.STRETCH, max(opaque.shape[1:3])
        opaque = stretch(opaque.movedim(-1, 1).float(), (side, side)).movedim(1, -1)
    view = Preprocessing(fit, None, look.sharpening, behind=WHITE)
    encoder = at_size(pair.siglip, look.size)
    seen = pixels_for(encoder, opaque, view, look.mask)
    large = pixels_for(encoder, opaque, view, look.mask, ACROSS)
    return seen, torch.unflatten(split_grid(large, ACROSS), 0, (len(seen), -1))


def _negatives(spec: AdapterSpec, pair: EncoderPair, look: EncodeOptions, negative: Tensor | None) -> list[Features]:
    """Those that are not the references themselves."""
    if negative is None and look.negative is NegativeChoice.TRAINED:
        return []
    side = at_size(pair.siglip, look.size).image_size
    shown = torch.full((1, side, side, 3), GREY) if negative is None else negative
    views = _views(pair, shown, look._replace(mask=None))
    return [_features(spec, pair, *one) for one in zip(*views, strict=True)]


def _features(spec: AdapterSpec, pair: EncoderPair, seen: Tensor, closer: Tensor) -> Features:
    """Last, early and closer hidden states of one image (S, S, 3) and its quadrants (4, S, S, 3)."""
    whole = _both(pair, seen.unsqueeze(0))
    parts = [_both(pair, one).last for one in torch.split(closer, 1)]
    found = whole.last, torch.cat(whole.early, dim=1), torch.cat(parts, dim=1)
    width, wanted = found[0].shape[-1], spec.projector.feature_width
    if width != wanted:
        raise EncoderMismatchError(
            f"the image encoders make hidden states of width {width} together, but {spec.file} needs {wanted}: connect "
            f"{spec.encoder} to clip_vision and second_clip_vision of {encode_node(spec)}"
        )
    last, early, close = (intermediate(part) for part in found)
    return last, early, close


def _both(pair: EncoderPair, pixels: Tensor) -> HiddenStates:
    """The hidden states of both encoders side by side, of images (1, S, S, 3)."""
    siglip, dino = _siglip_states(pair.siglip, pixels), dino_states(pair.dino, pixels, DINO_LAYERS)
    if siglip.last.shape[1] != dino.last.shape[1]:
        raise EncoderMismatchError(
            f"SigLIP sees {siglip.last.shape[1]} patches of an image of {pixels.shape[1]} pixels and DINOv2 "
            f"{dino.last.shape[1]}, expected as many: connect SigLIP-so400m-384 and {DINO} to clip_vision and "
            "second_clip_vision of Encode Reference Image"
        )
    pairs = zip((siglip.last, *siglip.early), (dino.last, *dino.early), strict=True)
    last, *early = (torch.cat((one, other.to(one)), dim=-1) for one, other in pairs)
    return HiddenStates(last, tuple(early))


def _siglip_states(encoder: ImageEncoder, pixels: Tensor) -> HiddenStates:
    """ComfyUI counts hidden states from the first layer, transformers from what enters it; both end with the last layer."""
    with torch.no_grad():
        out = at_size(encoder, pixels.shape[1]).encode_image(pixels, crop=False)
    states = out["all_hidden_states"]
    if states.shape[1] not in (SIGLIP_DEPTH, SIGLIP_DEPTH + 1):
        raise EncoderMismatchError(
            f"the image encoder is a SigLIP of about {states.shape[1]} layers, expected {SIGLIP_DEPTH} (SigLIP-so400m-384): "
            "connect another one to clip_vision of Encode Reference Image"
        )
    return HiddenStates(
        out["last_hidden_state"], tuple(states[:, number - SIGLIP_DEPTH - 1] for number in SIGLIP_LAYERS)
    )
