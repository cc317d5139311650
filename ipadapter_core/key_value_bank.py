"""What sampling holds of an adapter and a reference: the keys and values of each layer, a few megabytes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .adapter import Adapter

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


def project(adapter: Adapter, features: Tensor, negative: Tensor, device: torch.device) -> KeyValueBank:
    """Runs the projector and every key and value projection once, for one reference.

    features and negative: (1, E) or (1, L, E), as the adapter's spec asks. The adapter's layers cast their own weights
    to the input's device, so none of them has to live there. The bank is made of ordinary tensors, although ComfyUI runs
    nodes in inference mode, so that training through a patched model can save them for its backward pass.
    """
    dtype = torch.promote_types(features.dtype, torch.float32)
    both = torch.cat((negative, features)).to(device, dtype)
    with torch.inference_mode(False), torch.no_grad():
        tokens = adapter.image_tokens(both)
        pairs = [tuple(part.cpu() for part in adapter.key_value(layer.number, tokens)) for layer in adapter.spec.layers]
    keys, values = zip(*pairs, strict=True)
    return KeyValueBank(keys, values)
