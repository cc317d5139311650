"""Masks where the model sees a part of the canvas: area conditioning, Deep Shrink, tiled diffusion."""

from contextlib import nullcontext

import pytest
import torch
from pack.ipadapter_core.adapter.key_value_bank import POSITIVE
from pack.ipadapter_core.errors import SamplingError
from pack.ipadapter_core.patchers.hooks.batch_layout import find
from pack.tests.oracles.seen_queries import (
    Row,
    apply,
    exact_adapter,
    exact_model,
    references,
    sample,
    text,
    tokens_of,
    worst,
)

import nodes
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale

pytestmark = pytest.mark.engine

SHAPE = (1, 4, 19, 26)
CANVAS = SHAPE[-2:]


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def setting():
    model = exact_model()
    return model, exact_adapter(model), references(1), noise(1, 70, 53)


def with_area(conditioning, area):
    if isinstance(area[0], int):
        height, width, top, left = (8 * side for side in area)
        return nodes.ConditioningSetArea().append(conditioning, width, height, left, top, 1.0)[0]
    height, width, top, left = area
    return nodes.ConditioningSetAreaPercentage().append(conditioning, width, height, left, top, 1.0)[0]


AREAS = {
    "pixels": ((8, 10, 3, 11), (8, 10, 3, 11)),
    "over the edge": ((12, 20, 11, 9), (8, 17, 11, 9)),
    "percentage": ((0.5, 0.4, 0.25, 0.55), (10, 10, 5, 14)),
}


@pytest.mark.parametrize("area, crop", AREAS.values(), ids=AREAS)
def test_an_area_sees_the_mask_cut_there(area, crop, seen):
    """Both the positive pass and its copied negative, beside passes that see the whole canvas, to 1e-9."""
    model, adapter, given, mask = setting()
    patched = apply(model, adapter, given, mask)
    positive = with_area(text(1), area) + text(3)
    sample(patched, positive, text(2), SHAPE)
    levels = {}

    def rows(call):
        length = call.query.shape[1]
        sizes = {(-(-crop[0] // 2**n)) * (-(-crop[1] // 2**n)) for n in range(4)}
        place = crop if length in sizes else (*CANVAS, 0, 0)
        weights = levels.setdefault((place, call.grid), tokens_of(mask[0].numpy(), call.grid, place, CANVAS))
        return [Row(0, 1 - index, weights) for index in call.passes]

    assert {call.query.shape[1] for call in seen} >= {crop[0] * crop[1], CANVAS[0] * CANVAS[1]}
    assert worst(seen, patched, adapter, given, rows) < 1e-9


def test_two_areas_of_one_size_in_one_batch(seen):
    """Each pass of a shared call has its own part of the mask."""
    model, adapter, given, mask = setting()
    patched = apply(model, adapter, given, mask)
    crops = ((8, 10, 3, 11), (8, 10, 9, 2))
    sample(patched, with_area(text(1), crops[0]) + with_area(text(3), crops[1]), text(2), SHAPE, cfg=1.0)
    both = [call for call in seen if len(call.passes) == 2]
    assert both

    def rows(call):  # ComfyUI stacks what it batches from last to first
        return [Row(0, 1, tokens_of(mask[0].numpy(), call.grid, crop, CANVAS)) for crop in reversed(crops)]

    assert worst(both, patched, adapter, given, rows) < 1e-9


def test_deep_shrink(seen):
    """Layers behind the shrink have fewer tokens; each count is the layer's own, each mask the integral over its grid."""
    model, adapter, given, mask = setting()
    patched = apply(model, adapter, given, mask)
    (shrunk,) = PatchModelAddDownscale.execute(patched, 3, 2.0, 0.0, 1.0, True, "bicubic", "bicubic").args[:1]
    sample(shrunk, text(1), text(2), (1, 4, 24, 40), cfg=1.0)
    grids = {call.grid for call in seen}
    assert grids == {(24, 40), (6, 10), (3, 5), (2, 3), (12, 20)}

    def rows(call):
        return [Row(0, 1, tokens_of(mask[0].numpy(), call.grid, (24, 40, 0, 0), (24, 40)))]

    assert worst(seen, shrunk, adapter, given, rows) < 1e-9


class Tiles:
    """Tiled diffusion as its packs do it: around the model, tiles stacked tile by tile, `roll` moving the canvas under them."""

    def __init__(self, places, size, roll=(0, 0), change=lambda tile: tile):
        self.places, self.size, self.roll, self.change = places, size, roll, change
        self.batches = []

    def __call__(self, apply_model, given):
        x, c = given["input"].roll(self.roll, (-2, -1)), given["c"]
        (h, w), out = self.size, torch.zeros_like(x)
        tiles = self.change(torch.cat([x[:, :, top : top + h, left : left + w] for top, left in self.places]))
        self.batches.append(tiles.shape[0])
        repeated = {
            key: value.repeat(len(self.places), *[1] * (value.ndim - 1)) if torch.is_tensor(value) else value
            for key, value in c.items()
        }
        seen = apply_model(tiles, given["timestep"].repeat(len(self.places)), **repeated)
        for (top, left), one in zip(self.places, seen.chunk(len(self.places)), strict=True):
            out[:, :, top : top + h, left : left + w] = one
        return out.roll([-step for step in self.roll], (-2, -1))


PLACES = ((0, 0), (0, 16), (9, 0), (9, 16))
TILE = (10, 10)


@pytest.mark.parametrize("roll", [(0, 0), (4, 0), (0, 7)], ids=["", "rolled down", "rolled right"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_tiles_take_their_part_of_the_mask(roll, pictures, seen):
    """Every tile, pass and image of a stacked batch; a canvas rolled under the tiles too, where tiles run over the edge."""
    model, adapter, given, _ = setting()
    mask = noise(pictures, 70, 53)
    patched = apply(model, adapter, given, mask)
    tiles = Tiles(PLACES, TILE, roll)
    patched.set_model_unet_function_wrapper(tiles)
    sample(patched, text(1), text(2), (pictures, 4, *CANVAS))
    assert tiles.batches == [4 * 2 * pictures]
    rolled = [noise_of.repeat(2, 2).numpy() for noise_of in mask]

    def rows(call):
        made = []
        for top, left in PLACES:
            place = ((top - roll[0]) % CANVAS[0], (left - roll[1]) % CANVAS[1])
            twice = (2 * CANVAS[0], 2 * CANVAS[1])
            weights = [tokens_of(one, call.grid, (*TILE, *place), twice) for one in rolled]
            made += [Row(0, 1 - index, one) for index in call.passes for one in weights]
        return made

    assert worst(seen, patched, adapter, given, rows) < 1e-9


def test_tiles_of_unknown_place():
    """A pack that changes the tile's values leaves nothing to go by: one sentence. Without a mask nobody has to know."""
    model, adapter, given, mask = setting()
    for masked in (mask, None):
        patched = apply(model, adapter, given, masked)
        patched.set_model_unet_function_wrapper(Tiles(PLACES, TILE, change=lambda tile: tile * 1.5))
        with pytest.raises(SamplingError, match="lies nowhere") if masked is not None else nullcontext():
            sample(patched, text(1), text(2), SHAPE, steps=3)


def test_tiles_without_a_mask_keep_their_passes(seen):
    """Two images in tiles with no mask at all: negative passes of every tile see the negative."""
    model, adapter, given, _ = setting()
    patched = apply(model, adapter, given)
    patched.set_model_unet_function_wrapper(Tiles(PLACES, TILE))
    sample(patched, text(1), text(2), (2, 4, *CANVAS))

    def rows(call):
        ones = torch.ones(call.query.shape[1]).double().numpy()
        return [Row(0, 1 - index, ones) for _ in PLACES for index in call.passes for _ in range(2)]

    assert worst(seen, patched, adapter, given, rows) < 1e-9


def test_find():
    """The place of every tile of a noisy canvas; nothing for values that are not there."""
    canvas = torch.randn(4, 9, 7, generator=torch.Generator().manual_seed(1))
    for top in range(9):
        for left in range(7):
            assert find(canvas.roll((-top, -left), (1, 2))[:, :3, :4], canvas) == (top, left)
    assert find(torch.zeros(4, 3, 3), canvas) is None
    assert find(torch.zeros(4, 10, 3), canvas) is None
    assert POSITIVE == 1
