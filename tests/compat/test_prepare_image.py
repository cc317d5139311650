"""Prep Image and Noise nodes."""

import pytest
import torch
from pack.ipadapter_core.compat.prepare_image import Crop, noise_picture, prepared
from pack.ipadapter_core.images.noise import Noise
from pack.tests.oracles.encoder_inputs import rand

pytestmark = pytest.mark.catalogue


def test_catalogue_prepared_pictures():
    """Cropped to one side or padded with black, 224 pixels, eight bits."""
    picture = torch.zeros(1, 100, 60, 3)
    picture[:, :40] = 1.0
    assert prepared(picture, "NEAREST", Crop.TOP, 0.0).mean() > 0.6
    assert prepared(picture, "NEAREST", Crop.BOTTOM, 0.0).max() == 0
    padded = prepared(picture, "NEAREST", Crop.PAD, 0.0)
    assert padded.shape == (1, 224, 224, 3) and padded[0, 10, 10].max() == 0 and padded[0, 10, 112].min() == 1
    assert torch.equal(
        prepared(picture, "LANCZOS", Crop.CENTER, 0.0) * 255,
        (prepared(picture, "LANCZOS", Crop.CENTER, 0.0) * 255).round(),
    )


def test_catalogue_noise_follows_from_the_picture():
    """The seed is the sum of its values, drawn channel by channel."""
    picture = rand(1, 224, 224, 3)
    generator = torch.Generator().manual_seed(int(picture.sum().item()) % 1_000_000_007)
    expected = picture * 0.3 + torch.rand((1, 3, 224, 224), generator=generator).movedim(1, -1) * 0.7
    torch.rand(5)
    assert torch.allclose(noise_picture(Noise.FADE, 0.7, 0, picture), expected, atol=1e-6)
    generator = torch.Generator().manual_seed(0)
    black = (torch.randn((1, 224, 224, 3), generator=generator) * 0.5).clamp(0, 1)
    assert torch.allclose(noise_picture(Noise.GAUSSIAN, 0.5, 0, None), black, atol=1e-6)
