"""What a transparent image looks like: one rule in every node, which hides what is hidden."""

import pytest
import torch
from pack.ipadapter_core.compat.tiles import tiles_of
from pack.ipadapter_core.encoders.preprocess import Preprocessing, pixels_for
from pack.ipadapter_core.images.fit import ResizeMode
from pack.ipadapter_core.images.transparency import GREY, laid_on_grey
from pack.tools.miniature.faces import tiny_encoder

pytestmark = pytest.mark.inputs


@pytest.fixture(scope="module")
def encoder():
    """A CLIP vision model in miniature."""
    return tiny_encoder(64, 56, 32)


def images(hidden: float):
    """A soft-edged disc of noise in front of a colour that is hidden."""
    side = torch.linspace(-1, 1, 90)
    alpha = (1.6 - 2 * torch.hypot(side, side.unsqueeze(1))).clamp(0, 1).view(1, 90, 90, 1)
    colours = torch.rand(1, 90, 90, 3, generator=torch.Generator().manual_seed(0))
    return torch.cat((torch.where(alpha > 0, colours, torch.full_like(colours, hidden)), alpha), dim=-1)


@pytest.mark.parametrize("fit", [mode for mode in ResizeMode if mode is not ResizeMode.TRAINED])
@pytest.mark.parametrize("sharpening", (0.0, 1.0))
def test_what_is_hidden_never_shows(encoder, fit, sharpening):
    """Not even where the image is made smaller: with black and with white behind alpha 0, the encoder sees the same."""
    view = Preprocessing(fit, None, sharpening)
    black, white = (pixels_for(encoder, images(hidden)[:, :, :70], view) for hidden in (0.0, 1.0))
    assert torch.equal(black, white)


def test_all_transparent_is_the_grey_of_nothing(encoder):
    """What the encoder sees as zero, to 8 bits."""
    nothing = torch.cat((torch.rand(1, 90, 90, 3), torch.zeros(1, 90, 90, 1)), dim=-1)
    seen = pixels_for(encoder, nothing, Preprocessing(ResizeMode.CENTER, None))
    assert torch.equal(seen, ((torch.tensor(encoder.image_mean) * 255).round() / 255).expand(1, 56, 56, 3))


def test_all_opaque_is_the_image(encoder):
    """To the bit."""
    colours = images(0.5)[..., :3]
    opaque = torch.cat((colours, torch.ones(1, 90, 90, 1)), dim=-1)
    view = Preprocessing(ResizeMode.CENTER, None)
    assert torch.equal(pixels_for(encoder, opaque, view), pixels_for(encoder, colours, view))


def test_the_grey_elsewhere_is_clips():
    """So that a node without an encoder and one with CLIP give the same."""
    assert torch.allclose(torch.tensor(GREY), torch.tensor(tiny_encoder(64, 56, 32).image_mean), atol=1e-7)


def test_tiles_of_old_workflows_lie_on_grey():
    """Before they are sharpened."""
    tiles = tiles_of(images(1.0), None, 0.5)
    assert all(tile.picture.shape[-1] == 3 for tile in tiles)
    assert torch.equal(tiles[0].picture, tiles_of(laid_on_grey(images(0.0)), None, 0.5)[0].picture)
