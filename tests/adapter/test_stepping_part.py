"""What of InstantCharacter stays loaded while a model samples, and what is kept of a reference, at true size."""

import pytest
import torch
from pack.ipadapter_core.adapter.network import Adapter
from pack.ipadapter_core.adapter.projected_references import ProjectedReferences
from pack.ipadapter_core.adapter.stepping_part import SteppingPart, read_reference
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.prompt.image_prompt import EncodedImage
from pack.tools.miniature.instant_character import character_features
from pack.tools.miniature.published_transformers import FILES

pytestmark = [pytest.mark.adapters, pytest.mark.engine]


@pytest.fixture(scope="module")
def network():
    return Adapter(detect(FILES["InstantCharacter"][0], "instantcharacter_ip-adapter.bin"), torch.nn, device="meta")


def test_the_resampler_and_the_layers_stay(network, capsys):
    """The figures of docs/benchmarks.md; the eight blocks before the resampler are not among them."""
    part = SteppingPart(network)
    whole, kept = (sum(one.numel() for one in module.parameters()) for module in (network, part))
    with capsys.disabled():
        print(f"\n  InstantCharacter: {whole / 1e6:.1f} M numbers, {kept / 1e6:.1f} M stay loaded")
    assert (round(whole / 1e6, 1), round(kept / 1e6, 1)) == (2794.9, 1551.8)
    assert all(part.layer_at(index) is network.layer_at(index) for index in (0, 56))


def test_what_is_kept_of_a_reference_and_made_at_a_step(network):
    """As many rows as there are patches of two looks; as many image tokens as the file has latents."""
    features = tuple(one.to("meta") for one in character_features(feature=2688, patches=729))
    read = read_reference(network, features)
    tokens, _ = SteppingPart(network).image_proj(read, torch.zeros(1, device="meta"))
    assert (read.shape, tokens.shape) == ((1, 1458, 2688), (1, 1024, 4096))
    assert (round(4 * read.numel() / 1e6, 1), round(4 * tokens.numel() / 1e6, 1)) == (15.7, 16.8)


def test_a_reference_is_remembered_as_long_as_it_is_there():
    """The very tensors, from the same image alone."""
    cache, image, made = ProjectedReferences(), EncodedImage(torch.zeros(1, 2), torch.zeros(1, 2)), []

    def read():
        made.append(torch.ones(1, 2))
        return made[-1], made[-1]

    first = cache.sides(image, read)
    assert cache.sides(image, read) is first and len(made) == 1
    cache.sides(EncodedImage(image.features, image.negative), read)
    assert len(made) == 2
