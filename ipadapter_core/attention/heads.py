"""Tokens as attention reads them, head by head."""

import torch
from torch import Tensor


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """A view (B, H, L, D / H) of tokens (B, L, D)."""
    return torch.unflatten(tokens, -1, (heads, -1)).transpose(1, 2)
