"""The advanced inputs of the encode nodes, called as ComfyUI calls them."""

import pytest
import torch
from pack.nodes.encode import EncodeReferenceImage
from pack.nodes.encode_detail import EncodeReferenceInDetail, EncodeTiledReference
from pack.tools.miniature.faces import tiny_encoder
from pack.tools.miniature.models import adapter_weights, managed

import folder_paths

pytestmark = pytest.mark.adapters

NODES = {
    EncodeReferenceImage: {"fit": "as trained"},
    EncodeTiledReference: {"tiles": 1},
    EncodeReferenceInDetail: {"fit": "as trained", "tiles": 2, "detail": 0.5},
}


@pytest.fixture(autouse=True)
def _previews(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "get_temp_directory", lambda: str(tmp_path))


def encoded(node, **inputs):
    """The first reference and what was made from it, of a node's image prompt."""
    adapter = managed(adapter_weights("plus", [32, 32], 96, feature=64))
    image = torch.rand(1, 90, 90, 3, generator=torch.Generator().manual_seed(4))
    given = {"ip_adapter": adapter, "image": image, "clip_vision": tiny_encoder()} | NODES[node] | inputs
    prompt = node.execute(**given).result[0]
    return prompt.references[0].image, prompt.made_from


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_size_and_negative_reach_the_encoder(node):
    """Patches as many as the size has, the negative of the same size, and another one when grey is chosen."""
    usual, said = encoded(node)
    sized, told = encoded(node, size=84)
    grey, _ = encoded(node, size=84, negative="grey image")
    assert usual.features.shape[1] == 17 and sized.features.shape[1] == sized.negative.shape[1] == 37
    assert "at 84 pixels" in told and "pixels" not in said.partition("images")[2]
    assert torch.equal(sized.features, grey.features)
    assert not torch.equal(sized.negative, grey.negative)
