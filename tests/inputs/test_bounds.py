"""Extreme shapes: bounded time and memory, and the same result as without the bound."""

import pytest
import torch
from pack.ipadapter_core.compat.tiles import old_tiles_of, tiles_of
from pack.ipadapter_core.encoders.face.detection import fit
from pack.ipadapter_core.errors import InputError
from pack.ipadapter_core.images.fit import ResizeMode, fit_square, within_aspect
from pack.ipadapter_core.images.tiles import tile_boxes, tile_counts
from pack.ipadapter_core.limits import CROPPED_ASPECT, TILES
from pack.tools.time_bars import within
from torch import Tensor
from torch.nn.functional import interpolate

pytestmark = pytest.mark.inputs

MODES = [mode for mode in ResizeMode if mode is not ResizeMode.TRAINED]
CROPPING = [mode for mode in MODES if mode not in (ResizeMode.PAD, ResizeMode.STRETCH)]
EXTREMES = ((1, 3000), (3000, 1), (1, 100_000), (2, 4096), (1, 1), (1, 2), (65_536, 3))


def planes(height: int, width: int) -> Tensor:
    """Seeded noise with soft forms in it."""
    coarse = torch.rand(1, 3, max(height // 16, 1), max(width // 16, 1), generator=torch.Generator().manual_seed(0))
    return interpolate(coarse, size=(height, width), mode="bilinear")


@pytest.mark.parametrize("size", EXTREMES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_extreme_shapes_take_no_time(mode, size):
    """A square of 224 comes out in less than a second, whatever the aspect (1 x 3000 took 26 seconds and 2 GB)."""
    given = planes(*size)
    with within(1):
        found = fit_square(given, 224, mode, torch.zeros(3))
    assert found.shape == (1, 3, 224, 224) and bool(found.isfinite().all())


@pytest.mark.parametrize("mode", CROPPING)
def test_what_is_resized_is_bounded(mode):
    """By the aspect that the limit names."""
    for height, width in (*EXTREMES, (512, 4096), (300, 200)):
        part = within_aspect(planes(height, width), mode, CROPPED_ASPECT)
        short = min(height, width)
        assert min(part.shape[-2:]) == short and max(part.shape[-2:]) == min(max(height, width), CROPPED_ASPECT * short)


@pytest.mark.parametrize("mode", CROPPING)
@pytest.mark.parametrize("size", ((96, 96), (96, 384), (384, 96), (120, 200)), ids=str)
def test_usual_shapes_are_as_they_were(mode, size):
    """To the bit, up to the aspect that is resized whole: resized, then cropped."""
    given = planes(*size)
    height, width = size
    side = min(size)
    whole = (round(height * 56 / side), round(width * 56 / side))
    resized = given if whole == size else interpolate(given, size=whole, mode="bicubic", antialias=True).clamp(0, 1)
    down, across = whole[0] - 56, whole[1] - 56
    top = {ResizeMode.TOP: 0, ResizeMode.BOTTOM: down}.get(mode, down // 2)
    left = {ResizeMode.LEFT: 0, ResizeMode.RIGHT: across}.get(mode, across // 2)
    expected = resized[..., top : top + 56, left : left + 56]
    assert torch.equal(fit_square(given, 56, mode, torch.zeros(3)), expected)


@pytest.mark.parametrize("mode", (ResizeMode.CENTER, ResizeMode.LEFT, ResizeMode.RIGHT))
def test_long_images_are_cropped_first_and_look_the_same(mode):
    """An image twelve times as long as high: by less than one level of 8 bits, on the mean, from resizing all of it."""
    given = planes(96, 96 * 12)
    resized = interpolate(given, size=(56, 56 * 12), mode="bicubic", antialias=True).clamp(0, 1)
    left = {ResizeMode.LEFT: 0, ResizeMode.RIGHT: 56 * 11}.get(mode, 56 * 11 // 2)
    found = fit_square(given, 56, mode, torch.zeros(3))
    assert float((found - resized[..., left : left + 56]).abs().mean()) < 1 / 255


@pytest.mark.parametrize(("size", "across"), (((1, 4096), 4), ((1, 4096), 0), ((3000, 1), 1), ((64, 4096), 8)), ids=str)
def test_too_many_tiles_are_refused(size, across):
    """Before anything is cut; said with the size that was found."""
    with pytest.raises(InputError, match=f"found an image of {size[1]} x {size[0]}, .*square tiles.*at most {TILES}"):
        tile_counts(*size, across)


@pytest.mark.parametrize(
    ("size", "across"), (((512, 512), 8), ((256, 1024), 8), ((1024, 256), 8), ((1, 1), 0)), ids=str
)
def test_tiles_that_the_node_offers_are_made(size, across):
    """The most that the widget has, up to an aspect of four."""
    rows, columns = tile_counts(*size, across)
    assert len(tile_boxes(*size, rows, columns)) == rows * columns <= TILES


@pytest.mark.parametrize("size", ((1, 3000), (3000, 1), (4, 20_000)), ids=str)
def test_tiles_of_old_workflows_take_no_time(size):
    """As they were: four at most; as they are: refused where there would be too many."""
    given, mask = planes(*size).movedim(1, -1), torch.ones(1, 64, 64)
    with within(2):
        assert len(old_tiles_of(given, mask, 0.5)) == 4
        with pytest.raises(InputError):
            tiles_of(given, mask, 0.5)


@pytest.mark.parametrize("size", EXTREMES, ids=str)
def test_faces_are_looked_for_in_no_time(size):
    """The detector's canvas is what bounds it."""
    given = planes(*size)[0].movedim(0, -1) * 255
    with within(1):
        canvas, scale = fit(given, (640, 640))
    assert canvas.shape == (640, 640, 3) and scale > 0 and bool(canvas.isfinite().all())
