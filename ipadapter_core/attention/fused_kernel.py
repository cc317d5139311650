"""Text and image attention of a layer in one pass over the queries, on a GPU: q is read once, their sum is written once.

    out = Attn(q, K_text, V_text) + sum_i weight_i * mask_i * Attn(q, K_i, V_i)

The equation of `image_attention.py` as one Triton kernel, with a softmax for the text and one for each bank. Triton comes with
PyTorch where it knows the machine, and nobody else needs this file. Each softmax runs over blocks of keys with a running
maximum (Dao et al. 2022, "FlashAttention", algorithm 1).
"""

from collections.abc import Sequence
from math import e, log2, sqrt
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .image_attention import LayerKeyValue
from .kernel_table import Tile

USUAL, FOR_WIDE = Tile(64, 32, 4, 3), Tile(32, 32, 8, 2)  # where nothing was measured; a bank has 4 to 257 keys
WIDEST = 256  # channels of a head, rounded up to a power of two
LARGEST = 4  # banks of one pass
PRODUCTS = {
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
}  # what products of other dtypes are made in: float16


@triton.jit
def _attend(  # noqa: PLR0913 - a kernel has no objects to put them in
    queries: tl.tensor, channels: tl.tensor, key: tl.tensor, value: tl.tensor, count: tl.tensor, stride: tl.tensor,
    scale: tl.tensor, WIDTH: tl.constexpr, KEYS: tl.constexpr, INSIDE: tl.constexpr,
):  # fmt: skip
    """softmax(q K / sqrt(d)) V of one block of queries (M, C) over `count` keys, in float32.

    INSIDE is the dtype that products are made in: the queries' own, or float32.
    """
    out = tl.zeros(queries.shape, tl.float32)
    total = tl.sum(out, 1)
    highest = total - float("inf")
    for start in range(0, count, KEYS):
        keys = start + tl.arange(0, KEYS)
        there = (keys < count)[:, None] & (channels < WIDTH)[None, :]
        places = keys[:, None] * stride + channels[None, :]
        block = tl.load(key + places, mask=there, other=0.0).to(INSIDE)
        scores = tl.dot(queries, tl.trans(block), input_precision="ieee") * scale
        scores = tl.where((keys < count)[None, :], scores, float("-inf"))
        above = tl.maximum(highest, tl.max(scores, 1))
        weights = tl.exp2(scores - above[:, None])
        kept = tl.exp2(highest - above)
        block = tl.load(value + places, mask=there, other=0.0).to(INSIDE)
        total = total * kept + tl.sum(weights, 1)
        out = out * kept[:, None] + tl.dot(weights.to(INSIDE), block, input_precision="ieee")
        highest = above
    return out / total[:, None]


@triton.jit
def _kernel(  # noqa: PLR0913
    query: tl.tensor, output: tl.tensor, length: tl.tensor, heads: tl.tensor, scale: tl.tensor, query_strides: tl.tensor,
    keys: tl.tensor, values: tl.tensor, counts: tl.tensor, shares: tl.tensor, strides: tl.tensor, multipliers: tl.tensor,
    steps: tl.tensor,
    BANKS: tl.constexpr, WIDTH: tl.constexpr, ROUND: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
    INSIDE: tl.constexpr,
):  # fmt: skip
    """One block of queries of one head of one image: the text (bank 0) and every bank after it."""
    picture = tl.program_id(1) // heads
    head = tl.program_id(1) % heads
    rows = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    channels = tl.arange(0, ROUND)
    there = (rows < length)[:, None] & (channels < WIDTH)[None, :]
    start = query + picture.to(tl.int64) * query_strides[0] + head * WIDTH
    places = rows[:, None] * query_strides[1] + channels[None, :]
    queries = tl.load(start + places, mask=there, other=0.0).to(INSIDE)
    total = tl.zeros((QUERIES, ROUND), tl.float32)
    for bank in tl.static_range(BANKS):
        place = (picture // shares[bank]).to(tl.int64) * strides[bank][0] + head * WIDTH
        part = _attend(
            queries, channels, keys[bank] + place, values[bank] + place, counts[bank], strides[bank][1], scale, WIDTH, KEYS,
            INSIDE,
        )  # fmt: skip
        if multipliers[bank] is not None:
            weight = tl.load(
                multipliers[bank] + picture * steps[bank][0] + rows * steps[bank][1], mask=rows < length, other=0.0
            )
            part = part * weight.to(tl.float32)[:, None]
        total += part
    start = output + picture.to(tl.int64) * length * heads * WIDTH + head * WIDTH
    tl.store(start + rows[:, None] * heads * WIDTH + channels[None, :], total.to(output.dtype.element_ty), mask=there)


def fused_attention(
    query: Tensor, key: Tensor, value: Tensor, banks: Sequence[LayerKeyValue], heads: int, tile: Tile | None = None
) -> Tensor:
    """Attention to the text and to every bank, (B, L, D), in the dtype of the query; without a `tile`, with a usual one.

    query (B, L, D), key and value of the text (B, T, D); a bank's (C, N, D) with B a multiple of C, its multiplier
    (1 or B, 1 or L, 1). Tensors may be strided, except along channels.
    """
    batch, length, wide = query.shape
    width = wide // heads
    every = [LayerKeyValue(key, value, None), *banks]
    query = _by_channel(query)
    output = torch.empty((batch, length, wide), dtype=query.dtype, device=query.device)
    rounded = max(16, triton.next_power_of_2(width))
    tile = tile or (USUAL if rounded < WIDEST else FOR_WIDE)
    _kernel[(triton.cdiv(length, tile.queries), batch * heads)](
        *(query, output, length, heads, log2(e) / sqrt(width), query.stride()[:2]),
        *_of_banks(every, batch, length),
        BANKS=len(every),
        WIDTH=width,
        ROUND=rounded,
        QUERIES=tile.queries,
        KEYS=tile.keys,
        INSIDE=PRODUCTS.get(query.dtype, tl.float16),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return output


def _of_banks(banks: Sequence[LayerKeyValue], batch: int, length: int) -> tuple[tuple[Any, ...], ...]:
    """The kernel's tuples: keys, values, counts, shares, strides, multipliers and their steps, an entry for each bank."""
    keys = tuple(_by_channel(bank.key) for bank in banks)
    values = tuple(_like(_by_channel(bank.value), one) for bank, one in zip(banks, keys, strict=True))
    multipliers = tuple(None if bank.multiplier is None else bank.multiplier.expand(batch, length, 1) for bank in banks)
    return (
        keys,
        values,
        tuple(one.shape[1] for one in keys),
        tuple(batch // one.shape[0] for one in keys),
        tuple(one.stride()[:2] for one in keys),
        multipliers,
        tuple((0, 0) if one is None else one.stride()[:2] for one in multipliers),
    )


def _by_channel(tensor: Tensor) -> Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _like(value: Tensor, key: Tensor) -> Tensor:
    """A value with its key's strides, which the kernel reads for both."""
    return (
        value
        if value.stride() == key.stride()
        else torch.empty_strided(key.shape, key.stride(), dtype=value.dtype, device=value.device).copy_(value)
    )
