"""Long and large images in tiles: as they were, and corrected."""

import pytest
import torch
from pack.ipadapter_core.compat.tiles import old_tiles_of, tiles_of
from pack.ipadapter_core.masks.canvas_mask import canvas_mask, token_weights
from pack.tests.oracles.encoder_inputs import rand

pytestmark = pytest.mark.catalogue


@pytest.mark.parametrize(("size", "count", "shape"), [
    ((300, 280), 4, (512, 512)), ((100, 270), 3, (256, 691)), ((600, 100), 4, (1024, 256)), ((100, 150), 2, (256, 384)),
])  # fmt: skip
def test_catalogue_old_tiles(size, count, shape):
    """256 pixels each, at most four in a row; a mask's share is where the tile is."""
    tiles = old_tiles_of(rand(1, *size, 3), None, 0.0)
    assert len(tiles) == count and all(tile.picture.shape == (1, 256, 256, 3) for tile in tiles)
    assert all(tile.shown.shape == (1, *shape) for tile in tiles)
    assert (torch.stack([tile.shown for tile in tiles]).amax(0) > 0.99).all()


def test_catalogue_corrected_tiles_add_up_to_the_mask():
    """Whatever the mask."""
    mask = rand(1, 40, 60, seed=3)
    tiles = tiles_of(rand(1, 100, 270, 3), mask, 0.0)
    total = sum(token_weights(tile.mask, (8, 20), (64, 160)) for tile in tiles)
    assert torch.allclose(total, token_weights(canvas_mask(mask), (8, 20), (64, 160)), atol=1e-6)
