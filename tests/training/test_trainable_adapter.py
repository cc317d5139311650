"""What training starts from."""

import pytest
import torch
from pack.ipadapter_core.training.trainable_adapter import new_adapter, trained_layers
from pack.tools.miniature.models import tiny_model

pytestmark = pytest.mark.training


def test_a_new_adapter_starts_from_the_texts_projections():
    """Its file would be recognised, and each layer's keys and values are made as the text's are."""
    layers = trained_layers(tiny_model().model.diffusion_model)
    adapter = new_adapter(layers, feature_width=48, tokens=4, name="new")
    assert adapter.image_tokens(torch.rand(2, 48)).shape == (2, 4, adapter.spec.text_width)
    for layer in layers:
        own, text = adapter.numbered_layer(layer.number), layer.attention
        assert torch.equal(own.to_k_ip.weight, text.to_k.weight) and torch.equal(own.to_v_ip.weight, text.to_v.weight)
