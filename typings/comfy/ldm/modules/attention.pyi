from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

def optimized_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    mask: Tensor | None = None,
    attn_precision: Any = None,
    skip_reshape: bool = False,
    skip_output_reshape: bool = False,
    **kwargs: Any,
) -> Tensor: ...
def attention_pytorch(q: Tensor, k: Tensor, v: Tensor, heads: int, *args: Any, **kwargs: Any) -> Tensor: ...

class CrossAttention(nn.Module):
    heads: int
    to_q: nn.Linear
    to_k: nn.Linear
    to_v: nn.Linear

class BasicTransformerBlock(nn.Module):
    attn1: CrossAttention
    attn2: CrossAttention | None
    n_heads: int
    d_head: int

class SpatialTransformer(nn.Module):
    transformer_blocks: Sequence[BasicTransformerBlock]
