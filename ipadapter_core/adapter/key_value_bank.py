"""What sampling holds of an adapter and a reference: the keys and values of each layer, a few megabytes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..prompt.features import Features, each, shapes_of
from .network import Adapter

NEGATIVE, POSITIVE = 0, 1  # rows of a bank; also the order in which ComfyUI runs the two passes


@dataclass(frozen=True, eq=False)
class KeyValueBank:
    """Keys and values of one reference, a pair of tensors (2, N, D) for each layer: negative, then positive.

    Kept on the host in float32 or better: nothing is lost before the model's own dtype is known.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def tokens(self) -> int:
        """How many image tokens each layer attends to."""
        return self.keys[0].shape[1]

    def scaled(self, gain: float) -> "KeyValueBank":
        """The bank of image tokens that were multiplied by `gain`: keys and values are linear in them."""
        return KeyValueBank(tuple(key * gain for key in self.keys), tuple(value * gain for value in self.values))

    def first(self, tokens: int) -> "KeyValueBank":
        """The bank of the first image tokens alone."""
        return KeyValueBank(
            tuple(key[:, :tokens] for key in self.keys), tuple(value[:, :tokens] for value in self.values)
        )


def project(
    adapter: Adapter,
    features: Features,
    negative: Features,
    device: torch.device,
    translate: Callable[[Tensor], Tensor] | None = None,
) -> KeyValueBank:
    """Runs the projector and every key and value projection once, for one reference.

    features and negative: (1, E) or (1, L, E), or parts of such shapes, as the adapter's spec asks; they differ in
    length where several images are read as one. The adapter's layers cast their own weights to the input's device, so none of
    them has to live there. `translate` is the model's own text projection, where the adapter's tokens have to pass it (Kolors
    FaceID). The bank is made of ordinary tensors, although ComfyUI runs nodes in inference mode, so that training through a
    patched model can save them for its backward pass.
    """

    def placed(one: Tensor) -> Tensor:
        return one.to(device, torch.promote_types(one.dtype, torch.float32))

    def both(one: Tensor, other: Tensor) -> Tensor:
        return placed(torch.cat((one.to(other.dtype), other)))

    with torch.inference_mode(False), torch.no_grad():
        if shapes_of(negative) == shapes_of(features):
            tokens = adapter.image_tokens(each(both, negative, features))
        else:
            tokens = torch.cat([adapter.image_tokens(each(placed, side)) for side in (negative, features)])
        tokens = tokens if translate is None else translate(tokens)
        pairs = [tuple(part.cpu() for part in adapter.key_value(layer.number, tokens)) for layer in adapter.spec.layers]
    keys, values = zip(*pairs, strict=True)
    return KeyValueBank(keys, values)
