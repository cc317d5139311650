"""What the image encoders whose networks are the pack's own have in common: PE-Core and EVA02-CLIP."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

import comfy.model_management
import comfy.model_patcher
import comfy.ops

from ..checkpoint.spec import Shapes
from ..errors import EncoderMismatchError, is_out_of_memory
from ..quoting import quoted

HEAD_WIDTH = 64  # of every published size of either
VISUAL = "visual."  # before the vision tower's key names in files with a text part

Encoder = TypeVar("Encoder")


def turned(heads: Tensor, angles: Tensor) -> Tensor:
    """Neighbouring channels of (B, H, L, D) as points that turn by (L, D / 2)."""
    first, second = torch.unflatten(heads, -1, (-1, 2)).unbind(-1)
    cosine, sine = angles.cos().to(heads), angles.sin().to(heads)
    return torch.stack((first * cosine - second * sine, first * sine + second * cosine), dim=-1).flatten(-2)


def turned_attention(query: Tensor, key: Tensor, value: Tensor, angles: Tensor) -> Tensor:
    """Self-attention whose queries and keys are turned by their place: (B, L, D) each, angles (L, 32) -> (B, L, D)."""
    query, key, value = (torch.unflatten(part, -1, (-1, HEAD_WIDTH)).transpose(1, 2) for part in (query, key, value))
    out = scaled_dot_product_attention(turned(query, angles), turned(key, angles), value)
    return out.transpose(1, 2).flatten(2)


def frequencies(device: torch.device) -> Tensor:
    """How fast the angles of either direction of a grid grow, (16)."""
    quarter = HEAD_WIDTH // 4
    return 10000.0 ** (-torch.arange(quarter, device=device) / quarter)


def behind_the_class(first: Tensor, second: Tensor) -> Tensor:
    """The angles (1 + rows * columns, 32) of a grid from those of its directions, (rows, columns, 16) each; 0 for the class."""
    both = torch.cat((first, second), dim=-1).flatten(0, 1)
    return torch.cat((both.new_zeros(1, both.shape[-1]), both))


class TowerEncoder:
    """A vision tower in ComfyUI's memory management; `network` makes it from the shapes of its weights."""

    def __init__(self, network: Callable[..., Any], weights: Mapping[str, Tensor]) -> None:
        self.load_device = comfy.model_management.text_encoder_device()
        offload = comfy.model_management.text_encoder_offload_device()
        sizes: Shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
        model: nn.Module = network(sizes, comfy.ops.manual_cast, dtype=torch.float32, device=offload)
        self.model: Any = model.eval()
        self.model.load_state_dict(weights)
        self.image_size: int = self.model.side * self.model.patch
        self.patcher = comfy.model_patcher.CoreModelPatcher(self.model, self.load_device, offload)


def visual_part(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vision tower's tensors in full precision, of a file with a text part or without."""
    found = {key.removeprefix(VISUAL): tensor for key, tensor in weights.items() if key.startswith(VISUAL)} or weights
    return {key: tensor.float() for key, tensor in found.items()}


def built(make: Callable[[], Encoder], file: str, looks_like: str, address: str) -> Encoder:
    """The encoder that `make` makes. Raises `EncoderMismatchError` where the file's tensors do not fit together.

    `looks_like` says what the file seems to be and is not, `address` which file to put where.
    """
    try:
        return make()
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = quoted(" ".join(str(error).split("\n")[:2]))
        raise EncoderMismatchError(
            f"{quoted(file)} looks like {looks_like} ({reason}): download {address} into models/clip_vision"
        ) from error
