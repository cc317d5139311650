"""The demo's measures of texture: right on what the world itself draws, and on what it does not."""

import pytest
import torch
from pack.demo.load import WEIGHTS
from pack.demo.measure import second_shade_inside, stripes_followed, textures_kept
from pack.demo.texture_fit import fit_textures
from pack.demo.training.measured import measured, table
from pack.demo.world import random_scene, render

pytestmark = [pytest.mark.seeing, pytest.mark.tool]

COUNT = 128


def scenes(seed: int):
    """Scenes, and their images (B, H, W, 3)."""
    scene = random_scene(COUNT, torch.Generator().manual_seed(seed))
    return scene, render(scene).movedim(1, -1)


def test_every_texture_is_found():
    """On 128 freshly drawn scenes every texture, in front and behind, and every direction of stripes."""
    scene, images = scenes(5)
    found = fit_textures(images)
    assert torch.equal(found.inside.kind, scene.object_texture)
    assert torch.equal(found.outside.kind, scene.background_texture)
    assert bool(textures_kept(images, scene).all()) and bool(stripes_followed(images, scene).all())


def test_grain_does_not_mislead():
    """As samplers leave it: a few levels of noise on every pixel."""
    scene, images = scenes(6)
    grain = 0.02 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    assert float(textures_kept((images + grain).clamp(0, 1), scene).float().mean()) > 0.98


def test_other_images_do_not_pass():
    """Of unrelated scenes textures agree as often as chance has it, and stripes run the same way rarely."""
    scene, _ = scenes(7)
    _, others = scenes(8)
    assert float(textures_kept(others, scene).float().mean()) < 0.5
    assert float(stripes_followed(others, scene).float().mean()) < 0.2


def test_the_shipped_adapter_reaches_what_the_pages_say(tmp_path):
    """On eight references, in short: near the reference's colours, the named shape, most textures."""
    (found,) = measured(WEIGHTS, tmp_path / "none", count=8)
    assert found.palette < 0.25 and found.shape == 1.0 and found.textures > 0.6
    assert "| general | any |" in table([found])


def test_the_second_shade_is_counted():
    """Dots cover about a third of a shape, a plain shape has none."""
    scene, images = scenes(9)
    shares = second_shade_inside(images, scene)
    assert float(shares[scene.object_texture == 0].mean()) < 0.02
    assert 0.2 < float(shares[scene.object_texture == 2].mean()) < 0.5
