"""Attention beside zeros and orthogonal to the text: against its equations, and what must not change it."""

import pytest
import torch
from pack.ipadapter_core.attention import orthogonal_attention as attention
from pack.ipadapter_core.attention.orthogonal_attention import (
    Orthogonality,
    Projection,
    orthogonal_attention,
    softmax_beside,
)
from pack.tools.miniature.pulid_sdxl import Stated, stated_addition
from pack.tools.miniature.transformers import noise, relative

pytestmark = [pytest.mark.engine, pytest.mark.adapters]

HEADS, WAYS = 3, [Orthogonality(zeros, projection) for zeros in (0, 7) for projection in Projection]


def given(dtype, images=2, chunks=2):
    """Query and text of two images, key and value of as many."""
    query, text = noise(images, 10, 24, seed=1), noise(images, 10, 24, seed=2)
    key, value = noise(chunks, 6, 24, seed=3), noise(chunks, 6, 24, seed=4)
    return tuple(one.to(dtype) for one in (query, text, key, value))


@pytest.mark.parametrize("how", WAYS, ids=str)
@pytest.mark.parametrize("chunks", [1, 2])
def test_the_published_equations(how, chunks):
    """Zeros are there as tokens in the statement; here no tensor has a place for them."""
    for dtype, limit in ((torch.float32, 5e-6), (torch.float64, 1e-12)):
        query, text, key, value = given(dtype, 4, chunks)
        own = (one.repeat_interleave(4 // chunks, 0) for one in (key, value))
        wanted = stated_addition(query, text, *own, HEADS, Stated(1.0, how.zeros, how.projection.value))
        assert relative(orthogonal_attention(query, text, key, value, HEADS, how) - wanted, wanted) <= limit


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_parts_of_the_queries_make_no_difference(how, monkeypatch):
    """However few scores are held at a time, sums run over all tokens."""
    inputs = given(torch.float64)
    whole = orthogonal_attention(*inputs, HEADS, how)
    monkeypatch.setattr(attention, "AT_ONCE", 2 * HEADS * 6 * 3)
    assert relative(orthogonal_attention(*inputs, HEADS, how) - whole, whole) < 1e-14


@pytest.mark.parametrize("projection", [Projection.V1, Projection.V2])
def test_nothing_is_taken_out_where_the_text_says_nothing(projection):
    """A text of zeros, as ConditioningZeroOut makes: the plain attention, and no NaN."""
    query, text, key, value = given(torch.float32)
    found = orthogonal_attention(query, text * 0, key, value, HEADS, Orthogonality(7, projection))
    plain = orthogonal_attention(query, text, key, value, HEADS, Orthogonality(7))
    assert torch.equal(found, plain)


def test_v1_is_orthogonal_to_the_text():
    """In every channel, summed over the image."""
    query, text, key, value = given(torch.float64)
    found = orthogonal_attention(query, text, key, value, HEADS, Orthogonality(7, Projection.V1))
    assert float((found * text).sum(1).abs().max()) < 1e-13


def test_half_precision_in_and_out():
    """Scores that are too large for half precision are held in single."""
    query, text, key, value = given(torch.float16)
    how = Orthogonality(7, Projection.V2)
    found = orthogonal_attention(query * 200, text, key * 200, value, HEADS, how)
    assert found.dtype == torch.float16 and torch.isfinite(found).all()


def test_softmax_beside_zeros():
    """As if they were there, without overflow, and without zeros the softmax itself."""
    scores = torch.tensor([[1.0, -2.0, 3.0], [900.0, 0.0, -900.0], [-900.0, -900.0, -900.0]], dtype=torch.float64)
    beside = torch.cat((scores, torch.zeros(3, 5, dtype=torch.float64)), 1).softmax(-1)[:, :3]
    assert torch.allclose(softmax_beside(scores, 5), beside, rtol=1e-13, atol=1e-300)
    assert torch.equal(softmax_beside(scores, 0), scores.softmax(-1))
