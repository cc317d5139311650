"""Attention maps of references with places of their own: shares of a softmax over those that a token sees."""

import pytest
import torch
from pack.ipadapter_core.attention.image_attention import Sight, image_attention
from pack.ipadapter_core.diagnostics.recording import measures
from pack.tools.miniature.transformers import noise

pytestmark = pytest.mark.seeing

HEADS = 2


def test_shares_are_of_those_that_are_seen():
    """Where one alone is seen it has all of the attention; what both bring together is what the layer's attention gives."""
    query, key, value = noise(1, 9, 16, seed=1), noise(1, 6, 16, seed=2), noise(1, 6, 16, seed=3)
    seen = torch.ones(1, 9, 2)
    seen[0, :3, 0], seen[0, 3:6, 1] = 0, 0
    sight = Sight(seen, (4, 2))
    share = measures(query, key, value, HEADS, sight.tokens, bias=sight.bias())[1]
    assert torch.equal(share[:, 0, :3].round(decimals=6), torch.tensor(((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))))
    assert torch.equal(share[:, 0, 3:6].round(decimals=6), torch.tensor(((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))))
    assert float(share[0, 0, 6:].min()) > 0 and float(share[0, 0, 6:].max()) < 1
    brought = measures(query, key, value, HEADS, [6], bias=sight.bias())[0, 0]
    assert torch.allclose(brought, image_attention(query, key, value, HEADS, sight).square().sum(-1).sqrt(), atol=1e-6)
