"""Noise, sharpening and tiles of images, each against its formula in float64."""

import numpy as np
import pytest
import torch
from pack.ipadapter_core.images.noise import Noise, add_noise, blurred
from pack.ipadapter_core.images.sharpen import sharpen
from pack.ipadapter_core.images.tiles import Box, cut, pool_grid, split_grid, tile_boxes, tile_counts, tile_masks
from scipy.ndimage import correlate1d, map_coordinates
from torchvision.transforms import Compose, ElasticTransform, RandomHorizontalFlip, RandomVerticalFlip

pytestmark = pytest.mark.catalogue

ROUNDING = 2e-6  # float32 against float64


def pictures(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def stated_noise(given, kind, strength, seed):
    """The formulas of `add_noise`'s docstring from the same random numbers."""
    draw = torch.Generator().manual_seed(seed)
    x = given.double().numpy()

    def uniform(*shape):
        return torch.rand(shape, generator=draw).double().numpy()

    if kind is Noise.FADE:
        out = (1 - strength) * x + strength * uniform(*x.shape)
    elif kind is Noise.DISSOLVE:
        gone = uniform(*x.shape) < strength
        out = np.where(gone, uniform(*x.shape), x)
    elif kind is Noise.GAUSSIAN:
        out = x + strength * torch.randn(x.shape, generator=draw).double().numpy()
    else:
        fields = [smoothed(2 * uniform(*x.shape[1:3]) - 1, strength) * 75 / 224 for _ in range(2)]
        uniform(2)
        in_planes = torch.empty(x.shape[0], 3, *x.shape[1:3]).movedim(1, -1)
        noise = in_planes.normal_(generator=draw).double().numpy() * 0.75 * strength
        y = warped(x, fields)[:, ::-1, ::-1]
        out = y * (1 - noise) + noise
    return out.clip(0, 1)


def smoothed(field, strength):
    """A Gaussian of 3.5 (1 - s) pixels at 224, reflected at the edges."""
    sigma = 3.5 / 224 * (1 - strength) * min(field.shape)
    if not sigma:
        return field
    half = (int(8 * sigma + 1) | 1) // 2
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    weights /= weights.sum()
    return correlate1d(correlate1d(field, weights, axis=0, mode="mirror"), weights, axis=1, mode="mirror")


def warped(x, fields):
    """Each pixel from where the fields say, in halves of a side; beyond the edge is black."""
    across, down = fields
    rows, columns = np.mgrid[: x.shape[1], : x.shape[2]].astype(float)
    places = [rows + down * x.shape[1] / 2, columns + across * x.shape[2] / 2]
    out = np.empty_like(x)
    inside = map_coordinates(np.ones(x.shape[1:3]), places, order=1, mode="grid-constant")
    for batch, channel in np.ndindex(x.shape[0], x.shape[3]):
        out[batch, ..., channel] = map_coordinates(x[batch, ..., channel], places, order=1, mode="grid-constant")
    return out * inside[None, ..., None]


@pytest.mark.parametrize("strength", [0.0, 0.35, 1.0])
@pytest.mark.parametrize("kind", Noise, ids=lambda kind: kind.value)
def test_catalogue_noise_is_its_formula(kind, strength):
    """On two images that are not square, from the same random numbers."""
    given = pictures(2, 40, 56, 3)
    got = add_noise(given, kind, strength, seed=5)
    far = np.abs(got.double().numpy() - stated_noise(given, kind, strength, 5))
    assert got.shape == given.shape and got.min() >= 0 and got.max() <= 1
    assert far.max() < (ROUNDING if kind is not Noise.SHUFFLE else 3e-5)  # places in an image are rounded in float32


@pytest.mark.parametrize("kind", Noise, ids=lambda kind: kind.value)
def test_catalogue_noise_follows_its_seed(kind):
    """The same seed twice, another seed, and no trace in torch's own state."""
    given, before = pictures(1, 32, 32, 3), torch.get_rng_state()
    one, again, other = (add_noise(given, kind, 0.7, seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_catalogue_shuffle_at_224_is_torchvisions_elastic_transform(strength):
    """The very same warp where torch's global generator has the seed."""
    given = pictures(2, 224, 224, 3)
    torch.manual_seed(9)
    steps = [ElasticTransform(75.0, (1 - strength) * 3.5), RandomVerticalFlip(1.0), RandomHorizontalFlip(1.0)]
    x = Compose(steps)(given.movedim(-1, 1)).movedim(1, -1)
    noise = torch.randn_like(x) * 0.75 * strength
    assert torch.allclose(
        add_noise(given, Noise.SHUFFLE, strength, 9), (x * (1 - noise) + noise).clamp(0, 1), atol=1e-6
    )


def test_catalogue_noise_is_drawn_as_torch_fills_a_like_tensor():
    """In rows of pixels or in planes, as the image lies in memory."""
    for given in (pictures(1, 8, 8, 3), pictures(1, 3, 8, 8).movedim(1, -1)):
        torch.manual_seed(4)
        assert torch.equal(add_noise(given, Noise.GAUSSIAN, 1.0, 4), (given + torch.randn_like(given)).clamp(0, 1))


def test_catalogue_noise_has_the_strength_it_says():
    """The share of dissolved values, the spread of Gaussian noise, the mean of a faded image, on 100,000 values."""
    grey = torch.full((1, 200, 200, 3), 0.5)
    changed = (add_noise(grey, Noise.DISSOLVE, 0.3, 1) != grey).double().mean()
    assert abs(changed - 0.3) < 0.01
    assert abs((add_noise(grey, Noise.GAUSSIAN, 0.1, 1) - grey).double().std() - 0.1) < 0.002
    faded = add_noise(torch.ones(1, 200, 200, 3), Noise.FADE, 0.4, 1).double()
    assert abs(faded.mean() - 0.8) < 0.003 and faded.min() >= 0.6


def test_catalogue_blur_keeps_the_mean_and_smooths():
    """A point becomes a bell of the width's own sigma; 0 is the very image, and a tiny image is no error."""
    point = torch.zeros(1, 33, 33, 1)
    point[:, 16, 16] = 1
    bell = blurred(point, 8).double()[0, ..., 0]
    places = torch.arange(33, dtype=torch.float64) - 16
    sigma = 0.3 * ((9 - 1) * 0.5 - 1) + 0.8
    line = torch.exp(-0.5 * (places / sigma) ** 2) * (places.abs() <= 4)
    assert (bell - torch.outer(line, line) / line.sum() ** 2).abs().max() < ROUNDING
    given = pictures(1, 3, 9, 3)
    assert blurred(given, 0) is given and blurred(given, 31).shape == given.shape


@pytest.mark.parametrize("border", ["replicate", "constant"])
def test_catalogue_sharpening_is_its_formula(border):
    """Pixel by pixel."""
    given = pictures(1, 1, 9, 7)
    around = np.pad(given[0, 0].double().numpy(), 1, mode="edge" if border == "replicate" else "constant")
    for amount in (0.05, 1.0):
        got = sharpen(given, amount, border)[0, 0]
        for row, column in np.ndindex(9, 7):
            part = around[row : row + 3, column : column + 3]
            cross = [part[0, 1], part[1, 0], part[1, 1], part[1, 2], part[2, 1]]
            corners = [part[0, 0], part[0, 2], part[2, 0], part[2, 2]]
            low, high = min(cross) + min(corners), max(cross) + max(corners)
            weight = -np.sqrt(min(low, 2 - high) / high) * (0.125 + amount * (0.2 - 0.125))
            stated = (part[1, 1] + weight * (sum(cross) - part[1, 1])) / (1 + 4 * weight)
            assert abs(float(got[row, column]) - np.clip(stated, 0, 1)) < ROUNDING
    assert sharpen(given, 0.0) is given
    assert torch.equal(sharpen(torch.zeros(1, 1, 4, 4), 1.0), torch.zeros(1, 1, 4, 4))


SIZES = [(512, 512), (64, 80), (80, 64), (1000, 300), (300, 1000), (1024, 768), (37, 501), (5, 5), (4001, 2999)]


@pytest.mark.parametrize("across", [0, 1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_catalogue_tiles_cover_everything_and_add_up(size, across):
    """Squares inside the image, every pixel in one, masks that add up to one and are nothing outside their tile."""
    rows, columns = tile_counts(*size, across)
    boxes = tile_boxes(*size, rows, columns)
    assert len(boxes) == rows * columns
    seen = np.zeros(size, bool)
    for box in boxes:
        assert 0 <= box.top <= size[0] - box.side and 0 <= box.left <= size[1] - box.side
        seen[box.top : box.top + box.side, box.left : box.left + box.side] = True
    assert seen.all()
    masks = tile_masks(boxes, *size).double()
    assert (masks.sum(dim=0) - 1).abs().max() < 1e-6 and masks.min() >= 0 and max(masks.shape[1:]) <= 512
    for box, mask in zip(boxes, masks, strict=True):
        down, across_ = (
            (torch.arange(count, dtype=torch.float64) + 0.5) * length / count
            for count, length in zip(mask.shape, size, strict=True)
        )
        outside = (down < box.top) | (down > box.top + box.side)
        assert not mask[outside].any()
        assert not mask[:, (across_ < box.left) | (across_ > box.left + box.side)].any()


def test_catalogue_tiles_of_known_pictures():
    """Two by two for what is nearly square, as high as the image for a long one; overlaps fade in straight lines."""
    assert tile_counts(512, 512) == (2, 2) == tile_counts(600, 512)
    assert tile_counts(300, 1000) == (1, 4) and tile_counts(1000, 300) == (4, 1)
    assert tile_boxes(8, 12, 1, 2) == (Box(0, 0, 8), Box(0, 4, 8))
    first, second = tile_masks(tile_boxes(8, 12, 1, 2), 8, 12)
    stated = torch.tensor([1, 1, 1, 1, 0.875, 0.625, 0.375, 0.125, 0, 0, 0, 0])
    assert torch.allclose(first, stated.expand(8, -1)) and torch.allclose(second, stated.flip(0).expand(8, -1))
    first, second = tile_masks(tile_boxes(30, 31, 1, 2), 30, 31)  # nearly the same tile twice: the line is as long
    places = torch.arange(31) + 0.5
    assert torch.allclose(second[0], ((places - 1) / 29).clamp(0, 1)) and torch.allclose(first, 1 - second, atol=1e-6)
    given = pictures(2, 8, 12, 3)
    left, right = cut(given, tile_boxes(8, 12, 1, 2))
    assert torch.equal(left, given[:, :, :8]) and torch.equal(right, given[:, :, 4:])


@pytest.mark.parametrize(("side", "alone"), [(16, 1), (24, 1), (27, 0), (4, 1)])
@pytest.mark.parametrize("count", [2, 3])
def test_catalogue_patches_are_pooled_in_place(side, alone, count):
    """A patch of the whole is the mean of what lies there in the tiles, on grids of CLIP at 224 and 336 and of SigLIP."""
    batch, width = 2, 5
    features = torch.randn(
        batch * count * count, alone + side * side, width, generator=torch.Generator().manual_seed(3)
    )
    got = pool_grid(features, count)
    assert got.shape == (batch, alone + side * side, width)
    tiles = features.double().numpy().reshape(batch, count, count, -1, width)
    for one in range(batch):
        grid = np.zeros((count * side, count * side, width))
        for row, column in np.ndindex(count, count):
            patches = tiles[one, row, column, alone:].reshape(side, side, width)
            grid[row * side : row * side + side, column * side : column * side + side] = patches
        stated = grid.reshape(side, count, side, count, width).mean(axis=(1, 3)).reshape(-1, width)
        assert np.abs(got[one, alone:].double().numpy() - stated).max() < ROUNDING
        assert (
            np.abs(got[one, :alone].double().numpy() - tiles[one, :, :, :alone].mean(axis=(0, 1))).max(initial=0)
            < ROUNDING
        )
    vectors = features[:, 0]
    assert torch.allclose(pool_grid(vectors, count)[1], vectors[count * count :].mean(dim=0), atol=ROUNDING)


def test_catalogue_a_split_picture_is_put_together_again():
    """Tiles in reading order: pooling the pixels of tiles is pooling the image."""
    given = pictures(2, 12, 12, 3)
    tiles = split_grid(given, 3)
    assert torch.equal(tiles[1], given[0, :4, 4:8]) and torch.equal(tiles[9 + 6], given[1, 8:, :4])
    small = pool_grid(tiles.flatten(1, 2), 3).unflatten(1, (4, 4))
    stated = given.unflatten(1, (4, 3)).unflatten(3, (4, 3)).mean(dim=(2, 4))
    assert torch.allclose(small, stated, atol=ROUNDING)
