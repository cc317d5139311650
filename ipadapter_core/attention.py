"""The second half of decoupled cross-attention: what the image tokens add to a layer's output.

    out = to_out( Attn(q, K_text, V_text) + sum_i weight_i * mask_i * Attn(q, K_i, V_i) )

Ye et al. 2023, "IP-Adapter", equation 5. Shapes: B batch, C chunks of the batch that share keys, L latent tokens,
N image tokens, H heads, D channels of all heads.
"""

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def image_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attends from every latent token to the image tokens of its chunk.

    query (B, L, D), key and value (C, N, D) with B a multiple of C, or C = 1 for all; returns (B, L, D). Queries do not
    see one another, so the B / C pictures of a chunk are read as one long row and nothing is repeated or copied.
    """
    batch, length, width = query.shape
    chunks = key.shape[0]
    rows = query.reshape(chunks, batch // chunks * length, heads, width // heads)
    out = scaled_dot_product_attention(rows.transpose(1, 2), split_heads(key, heads), split_heads(value, heads))
    return out.transpose(1, 2).reshape(batch, length, width)


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(C, N, D) -> (C, H, N, D / H)."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)
