"""Masks: the right token count at every latent size, and the right place for every edge."""

import numpy as np
import pytest
import torch
from pack.ipadapter_core.masks import canvas_mask as masks
from pack.ipadapter_core.masks.canvas_mask import canvas_mask, product, sequence
from pack.ipadapter_core.masks.token_grid import CANVAS, Area, box_matrix, halved, token_edges, token_grid
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.tests.oracles.seen_queries import (
    Row,
    apply,
    exact_adapter,
    exact_model,
    integral,
    references,
    sample,
    text,
    tokens_of,
    upsampled_places,
    worst,
)

pytestmark = pytest.mark.engine

SIZES = range(64, 2049, 8)  # images in pixels; a latent pixel is 8
LEVELS = 4
EDGES = 26  # along each side
AWKWARD = [
    (360, 1024), (72, 64), (64, 72), (136, 200), (200, 328), (328, 200), (88, 1000), (1000, 88), (104, 104), (424, 312),
    (184, 248), (248, 184), (120, 392), (392, 120), (64, 2048), (72, 1032), (456, 72), (1096, 80), (296, 168),
]  # fmt: skip


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def halve(size):
    """What a convolution of kernel 3, stride 2 and padding 1 leaves of a side."""
    return (size + 2 - 3) // 2 + 1


def test_sweep_of_all_sizes(capsys):
    """Token counts and places for all 249 x 249 sizes at every level."""
    sides = [size // 8 for size in SIZES]
    levels = {side: [side] for side in sides}
    for side in sides:
        for _ in range(LEVELS - 1):
            levels[side].append(halve(levels[side][-1]))
    wrong = tried = 0
    for height in sides:
        for width in sides:
            for grid in zip(levels[height], levels[width], strict=True):
                tried += 1
                wrong += token_grid(grid[0] * grid[1], ((height, width),), LEVELS) != grid
    footprint, centre = geometry(sides, levels)
    with capsys.disabled():
        print(
            f"\n  sizes {len(sides) ** 2}, token grids {tried}, wrong token counts {wrong}, edges on a side {EDGES + 1}"
        )
        print(f"  largest geometric error, in tokens: {footprint:.1e} from where the UNet's upsampling puts a token,")
        print(f"  {centre:.3f} from where its strided convolutions centre one")
    assert wrong == 0
    assert footprint < 1e-9
    assert centre <= 0.5


def geometry(sides, levels):
    """Largest distance in tokens of the edge of a mask from its true place, and of a token from its convolution's centre."""
    footprint = centre = 0.0
    for side in sides:
        for level, count in enumerate(levels[side]):
            edges = (token_edges(count, side) * side).tolist()
            places = upsampled_places(side, count)
            centre = max(centre, max(abs((2**level * i + 0.5) - (edges[i] + min(edges[i] + 2**level, side)) / 2) / 2**level
                                     for i in range(count)))  # fmt: skip
            samples = 8 * side
            known = torch.arange(0, samples + 1, max(1, samples // EDGES))  # masks that are 1 up to there
            steps = (torch.arange(samples)[:, None] < known).double()
            edges_of_samples = canvas_mask(steps.T[:, :, None]).rows
            weights = (box_matrix(token_edges(count, side), edges_of_samples) @ steps).sum(0).numpy()
            low, high = np.array(places).T[:, :, None]
            true = (np.clip(known.numpy() / 8 - low, 0, high - low) / (high - low)).sum(0)
            footprint = max(footprint, float(np.abs(weights - true).max()))
    return footprint, centre


@pytest.mark.parametrize("size", AWKWARD, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_real_unet_at_awkward_sizes(size, seen):
    """Every layer's mask against the summed-area integral over the pixels that the UNet gives each token, to 1e-9."""
    height, width = size[0] // 8, size[1] // 8
    model = exact_model()
    adapter, given = exact_adapter(model), references(1)
    mask = noise(1, 70, 53)
    patched = apply(model, adapter, given, mask)
    for block in applications_of(patched.model_options["transformer_options"])[0].blocks:
        patched.set_model_attn1_replace(
            lambda query, key, value, options: value, *block
        )  # self-attention costs minutes
    sample(patched, text(1), text(2), (1, 4, height, width), cfg=1.0)
    grids = {(-(-height // 2**level), -(-width // 2**level)) for level in range(LEVELS)}
    assert {call.grid for call in seen} == grids
    assert all(token_grid(call.query.shape[1], ((height, width),), LEVELS) == call.grid for call in seen)

    weights = {grid: tokens_of(mask[0].numpy(), grid, (height, width, 0, 0), (height, width)) for grid in grids}

    def rows(call):
        return [Row(0, 1, weights[call.grid])]

    assert worst(seen, patched, adapter, given, rows) < 1e-9


def test_laws(seen):
    """Ones are no mask, zeros no adapter, both to the bit; complements add up; a batch of masks is a loop."""
    model = exact_model()
    adapter, given = exact_adapter(model), references(1)
    plain = sample(model, text(1), text(2), (2, 4, 9, 13))
    full = sample(apply(model, adapter, given), text(1), text(2), (2, 4, 9, 13))
    assert not torch.equal(plain, full)
    assert torch.equal(full, sample(apply(model, adapter, given, torch.ones(1, 5, 7)), text(1), text(2), (2, 4, 9, 13)))
    assert torch.equal(
        plain, sample(apply(model, adapter, given, torch.zeros(1, 5, 7)), text(1), text(2), (2, 4, 9, 13))
    )

    soft = noise(1, 37, 50)
    pair = apply(apply(model, adapter, given, soft), adapter, given, 1 - soft)
    assert torch.allclose(full, sample(pair, text(1), text(2), (2, 4, 9, 13)), atol=1e-6)

    masks_of = noise(2, 37, 50, seed=3)
    batch = sample(apply(model, adapter, given, masks_of), text(1), text(2), (2, 4, 9, 13))
    for picture in range(2):
        alone = sample(apply(model, adapter, given, masks_of[picture : picture + 1]), text(1), text(2), (2, 4, 9, 13))
        assert torch.allclose(batch[picture], alone[picture], atol=1e-6)


def test_a_product_of_masks_loses_nothing():
    """A reference's mask and the common one of another size, against integrals on a grid fine enough for both."""
    own, common = noise(1, 6, 10), noise(3, 4, 15, seed=1)
    both = product(canvas_mask(own), canvas_mask(common))
    fine = np.kron(own[0].numpy(), np.ones((10, 3)))
    weights = masks.token_weights(both, (7, 9), (7, 9))
    assert weights.shape == (3, 63, 1)
    for picture in range(3):
        exact = fine.astype(np.float64) * np.kron(common[picture].numpy(), np.ones((15, 2)))
        wanted = tokens_of(exact, (7, 9), (7, 9, 0, 0), (7, 9))
        assert np.abs(weights[picture, :, 0].numpy() - wanted).max() < 1e-7
    two = noise(2, 6, 10, seed=2)
    last = product(canvas_mask(two[1:]), canvas_mask(common[2:]))
    assert torch.equal(product(canvas_mask(two), canvas_mask(common)).values[2:], last.values)
    in_turn = sequence([canvas_mask(own), canvas_mask(common[:1])])
    apart = [masks.token_weights(canvas_mask(one), (7, 9), (7, 9)) for one in (own, common[:1])]
    assert torch.allclose(masks.token_weights(in_turn, (7, 9), (7, 9)), torch.cat(apart), atol=1e-12)


def test_soft_edges_and_every_shape_of_mask():
    """A ramp stays a ramp, and (H, W), (M, H, W), (M, 1, H, W), booleans and halves are all masks."""
    ramp = torch.linspace(0, 1, 256)[None, None].expand(1, 256, 256)
    weights = masks.token_weights(canvas_mask(ramp), (8, 8), (64, 64)).view(8, 8)
    steps = np.array([integral(ramp[0].numpy(), 0, 256, 32 * i, 32 * i + 32) for i in range(8)])
    assert np.abs(weights.numpy() - steps).max() < 1e-9
    hard = noise(3, 8, 8) > 0.5
    for form in (hard, hard.half(), hard[:, None].float()):
        assert torch.equal(canvas_mask(form).values, hard.float())
    assert torch.equal(canvas_mask(hard[0]).values, hard[:1].float())


def test_without_the_layers_own_report():
    """No activations_shape: the latent tells. No grid is made up for what fits nothing; a side that no halving gives has
    boxes of equal size."""
    assert token_grid(23 * 64, ((45, 128),), LEVELS) == (23, 64)
    assert token_grid(23 * 64, ((45, 128),), 1) is None
    assert token_grid(20 * 35, ((45, 80),), LEVELS) is None
    assert token_edges(3, 64).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert token_edges(2, 9).tolist() == pytest.approx([0, 8 / 9, 1])
    around = masks.token_weights(canvas_mask(torch.eye(4)[None]), (2, 2), (2, 2), Area(0.75, 0.0, 0.5, 0.5))
    assert around.flatten().tolist() == [0, 0, 1, 0]
    assert Area(0, 0, 1, 1) == CANVAS


def test_halves_round_up():
    """As a convolution of stride 2 and padding 1 does."""
    assert list(halved((45, 80), 4)) == [(45, 80), (23, 40), (12, 20), (6, 10)]
