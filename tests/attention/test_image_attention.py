"""Attention to image tokens against the formula in float64, for every way in which a batch shares keys."""

import pytest
import torch
from pack.ipadapter_core.attention.heads import split_heads
from pack.ipadapter_core.attention.image_attention import image_attention

pytestmark = pytest.mark.engine

HEADS, WIDTH = 2, 16


def drawn(*shape):
    """Seeded numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def stated(query, key, value):
    """Each row of the batch by itself, head by head; rows of a chunk stand one behind the other."""
    rows = []
    for row, tokens in enumerate(query):
        chunk = row * len(key) // len(query)
        parts = zip(*(one.chunk(HEADS, dim=-1) for one in (tokens, key[chunk], value[chunk])), strict=True)
        rows.append(torch.cat([(q @ k.T / (WIDTH // HEADS) ** 0.5).softmax(-1) @ v for q, k, v in parts], dim=-1))
    return torch.stack(rows)


@pytest.mark.parametrize("by_heads", [False, True], ids=["rows", "heads"])
@pytest.mark.parametrize("chunks", [1, 2, 3, 6])
def test_rows_attend_to_their_chunks_keys(chunks, by_heads):
    """Six rows that share one set of keys, or two or three, or have their own."""
    query, key, value = drawn(6, 5, WIDTH), drawn(chunks, 3, WIDTH), drawn(chunks, 4, WIDTH)[:, :3]
    if by_heads:
        out = image_attention(split_heads(query, HEADS), key, value, HEADS).transpose(1, 2).flatten(2)
    else:
        out = image_attention(query, key, value, HEADS)
    assert out.shape == query.shape and torch.allclose(out, stated(query, key, value), rtol=0, atol=1e-12)
