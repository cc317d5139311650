"""The features that old nodes made of images and masks, against statements of their equations."""

import pytest
import torch
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.compat.encode import encode_embeds, encode_request
from pack.ipadapter_core.compat.encoder_inputs import old_features, old_tile_features
from pack.ipadapter_core.compat.request import Request
from pack.ipadapter_core.compat.weight_types import Results
from pack.ipadapter_core.encoders.features import FeatureRequest
from pack.tests.oracles.encoder_inputs import hidden, normalised, rand

pytestmark = pytest.mark.catalogue

AS_PLUS = Results.AS_PLUS


def test_catalogue_old_negative_is_a_black_picture(plus, base):
    """And the corrected one is that of the training; for pooled features both are zero."""
    picture = rand(1, 60, 80, 3)
    black = hidden(plus.encoder, normalised(plus.encoder, torch.zeros(1, 56, 56, 3)))[1]
    nothing = hidden(plus.encoder, torch.zeros(1, 3, 56, 56))[1]
    old, new = (
        encode_request(plus, Request(image=picture, results=kind)).prompt for kind in (AS_PLUS, Results.CORRECTED)
    )
    assert torch.allclose(old.references[0].image.negative, black, atol=1e-5)
    assert torch.allclose(new.references[0].image.negative, nothing, atol=1e-5)
    assert not torch.allclose(black, nothing, atol=1e-2)
    pooled = encode_request(base, Request(image=picture, results=AS_PLUS)).prompt.references[0].image
    assert not pooled.negative.any()
    assert torch.allclose(pooled.features, hidden(plus.encoder, normalised(plus.encoder, picture))[2], atol=1e-5)


def test_catalogue_old_encoder_mask_multiplies_normal_pixels(plus):
    """A soft mask; the pixels are not rounded after it."""
    picture, mask = rand(1, 56, 56, 3), rand(1, 56, 56, seed=2)
    wanted = FeatureRequest(Feature.HIDDEN, 64, plus.adapter.spec)
    expected = hidden(plus.encoder, normalised(plus.encoder, picture) * mask)[1]
    assert torch.allclose(old_features(wanted, plus.encoder, picture, mask), expected, atol=1e-5)


def test_catalogue_embeds_carry_both_results(plus):
    """The weight multiplies the embeds, not the negative."""
    picture = rand(1, 56, 56, 3)
    positive, negative = encode_embeds(plus, picture, 0.5, None, None)
    whole, _ = encode_embeds(plus, picture, 1.0, None, None)
    assert torch.allclose(positive.corrected, 0.5 * whole.corrected) and torch.allclose(
        positive.as_plus, 0.5 * whole.as_plus
    )
    assert torch.allclose(positive.corrected, positive.as_plus, atol=1e-5)
    assert not torch.allclose(negative.corrected, negative.as_plus, atol=1e-2)


def test_catalogue_old_tiles_of_features(plus, base):
    """Patches averaged in place; pooled vectors once were read as squares of numbers."""
    picture = rand(1, 112, 112, 3)
    quarters = [
        picture[:, 56 * row : 56 * row + 56, 56 * column : 56 * column + 56] for row in (0, 1) for column in (0, 1)
    ]
    parts = [hidden(plus.encoder, normalised(plus.encoder, quarter)) for quarter in quarters]
    found = old_tile_features(FeatureRequest(Feature.HIDDEN, 64, plus.adapter.spec), plus.encoder, picture, 2)
    grid = torch.stack([part[1][0, 1:].view(4, 4, -1) for part in parts])
    large = torch.cat([torch.cat(list(grid[row : row + 2]), dim=1) for row in (0, 2)])
    pooled = large.view(4, 2, 4, 2, -1).mean(dim=(1, 3)).flatten(0, 1)
    assert torch.allclose(found[0, 1:], pooled, atol=1e-5)
    assert torch.allclose(found[0, 0], torch.stack([part[1][0, 0] for part in parts]).mean(0), atol=1e-5)
    vectors = torch.stack([part[2][0].view(8, 8) for part in parts])
    square = torch.cat([torch.cat(list(vectors[row : row + 2]), dim=1) for row in (0, 2)])
    expected = square.view(8, 2, 8, 2).mean(dim=(1, 3)).flatten()
    assert torch.allclose(
        old_tile_features(FeatureRequest(Feature.POOLED, 64, base.adapter.spec), base.encoder, picture, 2)[0],
        expected,
        atol=1e-5,
    )


def test_catalogue_enhanced_requests(plus):
    """A lone image becomes two references, several are mixed with their tiles."""
    one, two = rand(1, 112, 112, 3), rand(2, 112, 112, 3)
    wanted = FeatureRequest(Feature.HIDDEN, 64, plus.adapter.spec)
    found = encode_request(plus, Request(image=one, enhance_tiles=2, enhance_ratio=0.6, results=AS_PLUS)).prompt
    assert len(found.references) == 2
    assert torch.allclose(found.references[0].image.features, 0.6 * old_features(wanted, plus.encoder, one), atol=1e-5)
    assert torch.allclose(
        found.references[1].image.features, old_tile_features(wanted, plus.encoder, one, 2), atol=1e-5
    )
    mixed = encode_request(plus, Request(image=two, enhance_tiles=2, enhance_ratio=0.6, results=AS_PLUS)).prompt
    expected = 0.6 * old_features(wanted, plus.encoder, two) + 0.4 * old_tile_features(wanted, plus.encoder, two, 2)
    assert torch.allclose(torch.cat([reference.image.features for reference in mixed.references]), expected, atol=1e-5)
