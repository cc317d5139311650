"""DINOv2, ComfyUI's own or transformers', at another size than it was trained on, with the hidden states of its early layers.

Source: transformers, models/dinov2/modeling_dinov2.py, Dinov2Embeddings.interpolate_pos_encoding.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import EncoderMismatchError
from .hugging_face import HuggingFaceEncoder
from .image_encoder import ImageEncoder
from .sized_encoder import stretched

KIND = "dinov2"  # what both call it in their configurations


class HiddenStates(NamedTuple):
    """Of images, a patch each (B, L, E): what comes out of the last layer behind its norm, and out of some before, without."""

    last: Tensor
    early: tuple[Tensor, ...]


def dino_states(encoder: ImageEncoder, pixels: Tensor, layers: Sequence[int]) -> HiddenStates:
    """Hidden states of square images (B, S, S, 3) behind numbered layers, counted from 1, without the class token.

    The table of positions is stretched to as many patches as there are whole ones.
    Raises `EncoderMismatchError` where the encoder has no such layers.
    """
    at_size = _at(encoder, pixels.shape[1])
    if isinstance(encoder, HuggingFaceEncoder):
        with torch.no_grad():
            out = at_size.encode_image(pixels, crop=False)
        states = out["all_hidden_states"]  # the first is what enters the first layer
        _check(states.shape[1] - 1, layers)
        return HiddenStates(out["last_hidden_state"][:, 1:], tuple(states[:, number, 1:] for number in layers))
    own: Sequence[nn.Module] = encoder.model.encoder.layer
    _check(len(own), layers)
    found: dict[int, Tensor] = {}
    with ExitStack() as hooks, torch.no_grad():
        for number in layers:
            hooks.callback(own[number - 1].register_forward_hook(_Noting(found, number)).remove)
        last = at_size.encode_image(pixels, crop=False)["last_hidden_state"]
    return HiddenStates(last[:, 1:], tuple(found[number][:, 1:].to(last) for number in layers))


def _check(depth: int, layers: Sequence[int]) -> None:
    if depth < max(layers):
        raise EncoderMismatchError(
            f"the image encoder is a DINOv2 of {depth} layers, expected one of {max(layers)} or more (DINOv2-giant): connect "
            "another one to second_clip_vision of Encode Reference Image"
        )


class _Noting:
    """A hook of a layer, which notes what comes out of it."""

    def __init__(self, found: dict[int, Tensor], number: int) -> None:
        self.found, self.number = found, number

    def __call__(self, _layer: nn.Module, _args: Any, out: Tensor) -> None:
        self.found[self.number] = out


def _at(encoder: ImageEncoder, size: int) -> ImageEncoder:
    """The encoder for squares of `size` pixels, sharing its layers."""
    twin: Any = copy(encoder)
    twin.image_size = size
    if isinstance(encoder, HuggingFaceEncoder):
        return twin  # transformers stretches the table itself
    embeddings = encoder.model.embeddings
    patch = embeddings.patch_embeddings.projection.weight.shape[-1]
    table = stretched(embeddings.position_embeddings[0].detach(), size // patch)
    own = copy(embeddings)
    parameters = dict(embeddings.named_parameters(recurse=False))
    vars(own)["_parameters"] = parameters | {
        "position_embeddings": nn.Parameter(table.unsqueeze(0), requires_grad=False)
    }
    twin.model = copy(encoder.model)
    vars(twin.model)["_modules"] = dict(encoder.model.named_children()) | {"embeddings": own}
    return twin
