"""A cross-attention with query and output projections of its own, folded into two matrices for each reference.

    out = sum_h softmax_n( (W_q,h (g x + b)) . k_n,h / sqrt(d) ) W_o,h v_n,h  =  sum_h softmax_n( x . A_n,h + c_n,h ) B_n,h

with x the normalised hidden states before the norm's gain g and shift b, and A = g W_q,h^T k / sqrt(d),
c = b . W_q,h^T k / sqrt(d), B = W_o,h v. Shapes: B batch, C chunks of the batch that share keys, L latent tokens, N image
tokens, H heads, D the model's width, d that of a head.
"""

import torch
from torch import Tensor

PLACES = (
    8  # behind each row of A, the first for c: rows of a multiple of eight numbers are what a GPU's kernels read fast
)


def folded_attention(hidden: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """hidden (B, L, D), key (C, N, H (D + PLACES)), value (C, N, H D) with B a multiple of C -> (B, L, D)."""
    weights = folded_weights(hidden, key).to(value.dtype)
    out = weights.flatten(-2) @ torch.unflatten(value, -1, (-1, hidden.shape[-1])).flatten(1, 2)
    return out.reshape(hidden.shape)


def folded_weights(hidden: Tensor, key: Tensor) -> Tensor:
    """What each latent token gives each image token, (C, B L / C, N, H), by head; in float32 or better."""
    chunks, tokens, _ = key.shape
    width = hidden.shape[-1]
    rows = torch.unflatten(key, -1, (-1, width + PLACES)).flatten(1, 2)  # (C, N H, D + PLACES)
    scores = torch.baddbmm(rows[..., width : width + 1].mT, hidden.reshape(chunks, -1, width), rows[..., :width].mT)
    by_head = torch.unflatten(scores, -1, (tokens, -1))
    return by_head.softmax(dim=-2, dtype=torch.promote_types(scores.dtype, torch.float32))
