"""The second half of decoupled cross-attention: what the image tokens add to a layer's output.

    out = to_out( Attn(q, K_text, V_text) + sum_i weight_i * mask_i * Attn(q, K_i, V_i) )

Ye et al. 2023, "IP-Adapter", equation 5. Shapes: B batch, C chunks of the batch that share keys, L latent tokens,
N image tokens, H heads, D channels of all heads.
"""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .orthogonal_attention import Orthogonality


class LayerKeyValue(NamedTuple):
    """What one layer attends to for one application: key and value (C, N, D), and what the output is multiplied by.

    The multiplier is (1 or B, 1 or L, 1), None for one. `orthogonality` is there where the output is held against the text's.
    """

    key: Tensor
    value: Tensor
    multiplier: Tensor | None
    orthogonality: Orthogonality | None = None


def image_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attends from every latent token to the image tokens of its chunk.

    query (B, L, D), or (B, H, L, D / H) where a model has it by heads; key and value (C, N, D) with B a multiple of C, or
    C = 1 for all; returns what has the shape of the query. Nothing of the size of a query is repeated or copied: queries do
    not see one another, so the B / C images of a chunk are read as one long row. Where that cannot be, or would outgrow a
    CPU's caches, each image has its own copy of its chunk's few keys.
    """
    chunks, tokens, width = key.shape
    if chunks < query.shape[0] and (query.ndim == 4 or query.device.type == "cpu"):
        key, value = (part.repeat_interleave(query.shape[0] // chunks, dim=0) for part in (key, value))
        chunks = query.shape[0]
    rows = query if query.ndim == 4 else query.reshape(chunks, -1, heads, width // heads).transpose(1, 2)
    split = (chunks, tokens, heads, width // heads)
    out = scaled_dot_product_attention(rows, key.view(split).transpose(1, 2), value.view(split).transpose(1, 2))
    return out if query.ndim == 4 else out.transpose(1, 2).reshape(query.shape)
