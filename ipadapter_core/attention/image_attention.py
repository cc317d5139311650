"""The second half of decoupled cross-attention: what the image tokens add to a layer's output.

    out = to_out( Attn(q, K_text, V_text) + sum_i weight_i * mask_i * Attn(q, K_i, V_i) )

Ye et al. 2023, "IP-Adapter", equation 5. Shapes: B batch, C chunks of the batch that share keys, L latent tokens,
N image tokens, H heads, D channels of all heads.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .orthogonal_attention import Orthogonality


class Sight(NamedTuple):
    """How much each latent token sees of each reference, (1 or B, L, R) from 0 to 1, and the image tokens of each.

        out(x) = min(1, sum_r m_r(x)) * sum_r m_r(x) sum_j e_rj(x) v_rj / sum_r m_r(x) sum_j e_rj(x),  e = exp(q k / sqrt(d))

    The first factor, 0 where nothing is seen, is a part of the multiplier.
    """

    seen: Tensor
    tokens: tuple[int, ...]

    def bias(self) -> Tensor:
        """What is added to the scores of each image token, (1 or B, L, N); where nothing is seen, nothing."""
        logarithms = torch.where(self.seen.any(dim=-1, keepdim=True), self.seen, 1).log()
        columns = zip(logarithms.unbind(dim=-1), self.tokens, strict=True)
        return torch.cat([column.unsqueeze(-1).expand(-1, -1, count) for column, count in columns], dim=-1)


class LayerKeyValue(NamedTuple):
    """What one layer attends to for one application: key and value (C, N, D), and what the output is multiplied by.

    The multiplier is (1 or B, 1 or L, 1), None for one. `orthogonality` is there where the output is held against the text's,
    `sight` where references have places of their own.
    """

    key: Tensor
    value: Tensor
    multiplier: Tensor | None
    orthogonality: Orthogonality | None = None
    sight: Sight | None = None


def image_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, sight: Sight | None = None) -> Tensor:
    """Attends from every latent token to the image tokens of its chunk.

    query (B, L, D), or (B, H, L, D / H) where a model has it by heads; key and value (C, N, D) with B a multiple of C, or
    C = 1 for all; returns what has the shape of the query. Nothing of the size of a query is repeated or copied: queries do
    not see one another, so the B / C images of a chunk are read as one long row. Where that cannot be, or would outgrow a
    CPU's caches, or where images see different tokens, each image has its own copy of its chunk's few keys.
    """
    chunks, tokens, width = key.shape
    if chunks < query.shape[0] and (query.ndim == 4 or query.device.type == "cpu" or sight is not None):
        key, value = (part.repeat_interleave(query.shape[0] // chunks, dim=0) for part in (key, value))
        chunks = query.shape[0]
    rows = query if query.ndim == 4 else query.reshape(chunks, -1, heads, width // heads).transpose(1, 2)
    split = (chunks, tokens, heads, width // heads)
    bias = None if sight is None else sight.bias().unsqueeze(1)
    out = scaled_dot_product_attention(rows, key.view(split).transpose(1, 2), value.view(split).transpose(1, 2), bias)
    return out if query.ndim == 4 else out.transpose(1, 2).reshape(query.shape)
