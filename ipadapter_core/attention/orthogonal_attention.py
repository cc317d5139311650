"""Attention to image tokens that leaves the text's say to the text: beside zeros, and without what the text brings already.

    o = sum_j e_j v_j / (sum_j e_j + n), with e_j = exp(q k_j / sqrt(d)): n tokens whose keys and values are zero
    c = sum_x h o / sum_x h h, for each channel, over every latent token x of the image; h is the text's output
    v1: o - c h          v2: o + (a - 1) c h, with a the mean over heads of what the first tokens have of softmax(q k)

All of it in float32 or better; c is 0 where h is 0 everywhere. Source: ToTheBeginning/PuLID (1aa2fc7),
pulid/attention_processor.py, IDAttnProcessor2_0. Shapes: B batch, C chunks of the batch that share keys, L latent tokens,
N image tokens, D channels of all heads.
"""

from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor

from .heads import split_heads

FIRST = 5  # tokens whose share spares the projection in v2
AT_ONCE = 2**24  # scores that are held at a time


class Projection(str, Enum):
    """What is taken out of the image's output: nothing, what lies along the text's, or less of it where a face is."""

    NONE = "none"
    V1 = "v1"
    V2 = "v2"


class Orthogonality(NamedTuple):
    """How many zeros stand beside the image tokens, and what is taken out."""

    zeros: int = 0
    projection: Projection = Projection.NONE


def softmax_beside(scores: Tensor, zeros: int) -> Tensor:
    """Softmax over the last dimension as if so many scores of zero stood beside it; without them it adds up to less than 1."""
    if not zeros:
        return scores.softmax(dim=-1)
    highest = scores.amax(dim=-1, keepdim=True).clamp(min=0)
    found = (scores - highest).exp()
    return found / (found.sum(dim=-1, keepdim=True) + zeros * (-highest).exp())


def orthogonal_attention(
    query: Tensor, text: Tensor, key: Tensor, value: Tensor, heads: int, how: Orthogonality
) -> Tensor:
    """query and the text's output (B, L, D), key and value (C, N, D) with B a multiple of C -> (B, L, D), like the query."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    copies = query.shape[0] // key.shape[0]
    keys, values = (split_heads(one.to(dtype), heads).repeat_interleave(copies, dim=0) for one in (key, value))
    step = max(1, AT_ONCE // (query.shape[0] * heads * key.shape[1]))
    parts = [
        _attended(split_heads(rows.to(dtype), heads), keys, values, how) for rows in torch.split(query, step, dim=1)
    ]
    image = torch.cat([out for out, _ in parts], dim=1)
    if how.projection is Projection.NONE:
        return image.to(query.dtype)
    spared = torch.cat([share for _, share in parts], dim=1)
    said = text.to(dtype)
    length = said.square().sum(dim=1, keepdim=True).clamp(min=torch.finfo(dtype).tiny)
    along = (said * image).sum(dim=1, keepdim=True) / length
    return (image + (spared - 1) * along * said).to(query.dtype)


def _attended(query: Tensor, keys: Tensor, values: Tensor, how: Orthogonality) -> tuple[Tensor, Tensor]:
    """The attention (B, L, D) of some queries (B, H, L, d), and what spares the projection there (B, L, 1)."""
    scores = query @ keys.mT
    out = softmax_beside(scores * query.shape[-1] ** -0.5, how.zeros) @ values
    if how.projection is Projection.V2:
        spared = softmax_beside(scores, how.zeros)[..., :FIRST].sum(dim=-1).mean(dim=1).unsqueeze(-1)
    else:
        spared = out.new_zeros(())
    return out.transpose(1, 2).flatten(2), spared.expand(out.shape[0], out.shape[2], 1)
