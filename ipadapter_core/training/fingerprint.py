"""What tells whether numbers are the very same: of a model before and after, of the data that a checkpoint belongs to."""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def digest(parts: Iterable[Any]) -> str:
    """SHA-256 over tensors, to the bit, and over the text of everything else."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            found.update(repr((tuple(part.shape), part.dtype)).encode())
            found.update(_bytes(part))
        else:
            found.update(repr(part).encode())
    return found.hexdigest()


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over a network's parameters and buffers with their names."""
    named = [*network.named_parameters(), *network.named_buffers()]
    return digest(part for name, tensor in sorted(named, key=lambda pair: pair[0]) for part in (name, tensor))


def _bytes(tensor: Tensor) -> bytes:
    """A tensor's memory; of a quantised one that of its numbers."""
    plain = getattr(tensor, "_qdata", tensor)
    with torch.inference_mode():
        whole = plain.detach().cpu().contiguous().flatten().view(torch.uint8)
        return bytes(whole.numpy().data)
