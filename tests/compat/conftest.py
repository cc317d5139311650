"""Pipelines of the old nodes: an adapter with its image encoder, in miniature."""

import pytest
from pack.ipadapter_core.compat.pipeline import Pipeline
from pack.tools.miniature.faces import tiny_encoder
from pack.tools.miniature.models import adapter_weights, managed


@pytest.fixture(scope="module")
def plus():
    """An adapter that reads hidden states, and an encoder of 56 pixels that makes them."""
    encoder = tiny_encoder(width=64, size=56, projection=64)
    return Pipeline(managed(adapter_weights("plus", [64, 64], 96)), encoder)


@pytest.fixture(scope="module")
def base(plus):
    return Pipeline(managed(adapter_weights("base", [64, 64], 96)), plus.encoder)
