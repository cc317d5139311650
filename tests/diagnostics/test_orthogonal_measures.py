"""Attention maps of PuLID for SDXL: shares of a softmax that empty tokens take part in."""

import pytest
import torch
from pack.ipadapter_core.diagnostics.recording import measures
from pack.tools.miniature.transformers import noise

pytestmark = [pytest.mark.adapters, pytest.mark.seeing]

HEADS = 2


def test_zeros_have_their_share():
    """As if they were keys and values of zeros behind all others, which nobody asks for."""
    query, key, value = noise(1, 9, 16, seed=1), noise(1, 6, 16, seed=2), noise(1, 6, 16, seed=3)
    found = measures(query, key, value, HEADS, [4, 2], zeros=5)
    longer = [torch.cat((one, torch.zeros(1, 5, 16)), 1) for one in (key, value)]
    wanted = measures(query, *longer, HEADS, [4, 2, 5])
    assert torch.allclose(found, wanted[:, :2], atol=1e-6)
    assert float(wanted[1, 2].min()) > 0 and float(found[1].sum(0).max()) < 1
