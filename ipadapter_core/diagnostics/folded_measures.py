"""Attention maps of layers whose keys and values are folded with projections of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..attention.folded_attention import folded_weights

AT_ONCE = 2**24  # scores that are held at a time


def folded_measures(query: Tensor, key: Tensor, value: Tensor, _heads: int, sizes: Sequence[int]) -> Tensor:
    """Norm of what is brought, as it is added to the model's hidden states, and share of the attention, (2, R, F, L).

    query (F, L, D), the normalised hidden states; folded key and value (F or 1, N, ..), `sizes` the tokens of each reference.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    images, tokens, width = query.shape[0], key.shape[1], query.shape[-1]
    keys, values = (one.to(dtype).expand(images, -1, -1) for one in (key, value))
    step = max(1, AT_ONCE // (images * tokens * (values.shape[-1] // width)))
    parts: list[Tensor] = []
    for rows in torch.split(query.to(dtype), step, dim=1):
        weights = torch.split(folded_weights(rows, keys), list(sizes), dim=2)
        groups = zip(weights, torch.split(values, list(sizes), dim=1), strict=True)
        both = [(_brought(part, own, width), part.sum(dim=2).mean(dim=-1)) for part, own in groups]
        parts.append(torch.stack([torch.stack(measure) for measure in zip(*both, strict=True)]))
    return torch.cat(parts, dim=-1)


def _brought(weights: Tensor, value: Tensor, width: int) -> Tensor:
    """The norm (F, L) of what weights (F, L, N, H) take of values (F, N, H D)."""
    return (weights.flatten(-2) @ torch.unflatten(value, -1, (-1, width)).flatten(1, 2)).square().sum(dim=-1).sqrt()
