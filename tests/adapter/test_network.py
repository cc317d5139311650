"""Layers by their number in the file and by their place: two ways that are not mixed up."""

import pytest
from pack.tools.miniature.faces import loaded
from pack.tools.miniature.models import adapter_weights
from pack.tools.miniature.transformers import weights_of, xlabs

pytestmark = pytest.mark.engine


def test_numbers_and_places_of_layers(tmp_path):
    """A UNet's layers have odd numbers, a transformer's are counted from 0; places are always counted from 0."""
    unet = loaded(adapter_weights("base", [32, 64, 32], 96), tmp_path, "unet.safetensors").network
    assert [unet.layer_at(index) is unet.numbered_layer(2 * index + 1) for index in range(3)] == [True] * 3
    flux = loaded(weights_of(xlabs(3, 128, 64)), tmp_path, "flux.safetensors").network
    assert [flux.layer_at(index) is flux.numbered_layer(index) for index in range(3)] == [True] * 3
    with pytest.raises(KeyError):
        unet.numbered_layer(0)
    with pytest.raises(IndexError):
        unet.layer_at(3)
