"""Several references, each with a weight and a place, combined before or in the attention."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families.unet import layer_map
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.prompt.combine import Combination, MaskBatch, combine, weigh
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.scaling import Scaling
from pack.tests.oracles.naive_layer import GRID, attend, bench, effect, far, keys_values, picture, prompt, query

pytestmark = pytest.mark.engine

EXACT = 1e-12

LAYERS = (0, 5, 15)


@pytest.fixture(scope="module")
def stand():
    return bench()


def outputs(stand, image_prompt, strength=None, mask=None, per_frame=False, batch=2):
    """What Apply adds at a few layers."""
    model, adapter, _ = stand
    patched = apply_image_prompt(model, adapter, image_prompt, strength or Strength(), mask, per_frame)
    widths = [layer_map(model.model.diffusion_model)[index].width for index in LAYERS]
    return torch.cat(
        [effect(patched, index, query(width, batch)).flatten(1) for index, width in zip(LAYERS, widths, strict=True)],
        dim=1,
    )


def stated(stand, references, batch=2, frame=None):
    """Attention over the tokens of all references at once, V times each one's weight; (2, ...): negative, positive."""
    model, _, weights = stand
    rows = []
    for row in range(batch):
        parts = []
        for index in LAYERS:
            given = query(layer_map(model.model.diffusion_model)[index].width, batch)[row]
            pairs = [
                keys_values(weights, index, one.image.features if row >= batch // 2 else one.image.negative)
                for one in references
            ]
            key = torch.cat([key for key, _ in pairs])
            value = torch.cat([value * one.weight for (_, value), one in zip(pairs, references, strict=True)])
            parts.append(attend(given, key, value).flatten())
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def token_mask(*rows):
    """A mask (1, H, W) of the very grid under test, from a value for each of its rows."""
    return torch.tensor(rows).view(1, GRID[0], 1).expand(1, *GRID).contiguous()


def per_token(mask, like):
    """A mask of the grid as factors of the flattened outputs of all layers, in order."""
    sizes = [32, 64, 64]
    return torch.cat([mask.flatten().repeat_interleave(width) for width in sizes]).to(like)


def test_engine_concat_is_attention_over_both_token_sets(stand):
    """With a weight for each input and one of the reference's own."""
    joined = combine([prompt(picture(2, 0.5)), prompt(picture(3), picture(4))], Combination.CONCAT, [2.0, 0.3])
    assert [reference.weight for reference in joined.references] == [1.0, 0.3, 0.3]
    assert far(outputs(stand, joined), stated(stand, joined.references)) < EXACT


def test_engine_reference_of_weight_zero_is_not_there(stand):
    """Bit for bit."""
    one, other = prompt(picture(2)), prompt(picture(3))
    assert torch.equal(outputs(stand, combine([one, weigh(other, 0.0)])), outputs(stand, one))
    model, adapter, _ = stand
    assert not applications_of(
        apply_image_prompt(model, adapter, weigh(one, 0.0), Strength()).model_options["transformer_options"]
    )


@pytest.mark.parametrize("mode", list(Scaling), ids=lambda mode: mode.value)
def test_engine_reference_weight_is_the_weight_of_a_lone_reference(stand, mode):
    """In every scaling mode."""
    for strength in (Strength(1.0, scaling=mode), Strength(1.0, scaling=mode, frames=(0.5,))):
        whole = outputs(stand, prompt(picture(2)), Strength(0.6, frames=strength.frames, scaling=mode))
        assert far(outputs(stand, weigh(prompt(picture(2)), 0.6), strength), whole) < EXACT


def test_engine_complementary_masks_add_up(stand):
    """Two soft masks over one reference give it whole; over two, each acts in its place."""
    left, right = token_mask(1.0, 0.25, 0.0), token_mask(0.0, 0.75, 1.0)
    whole = outputs(stand, prompt(picture(2)))
    both = combine([weigh(prompt(picture(2)), 1.0, left), weigh(prompt(picture(2)), 1.0, right)])
    assert far(outputs(stand, both), whole) < EXACT
    other = outputs(stand, prompt(picture(3)))
    two = combine([weigh(prompt(picture(2)), 1.0, left), weigh(prompt(picture(3)), 1.0, right)])
    expected = whole * per_token(left, whole) + other * per_token(right, whole)
    assert far(outputs(stand, two), expected) < EXACT


def test_engine_masks_of_ones_and_of_zeros(stand):
    """References under one mask of ones act together as without; under masks of their own they add up; zeros are nothing."""
    pair, ones = prompt(picture(2), picture(3)), torch.ones(1, 8, 8)
    assert torch.equal(outputs(stand, weigh(pair, 1.0, ones)), outputs(stand, pair))
    apart = outputs(stand, weigh(pair, 1.0, torch.ones(2, 8, 8), MaskBatch.PER_REFERENCE))
    alone = [outputs(stand, prompt(reference)) for reference in pair.references]
    assert far(apart, alone[0] + alone[1]) < EXACT
    assert torch.equal(
        outputs(stand, combine([prompt(picture(2)), weigh(prompt(picture(3)), 1.0, torch.zeros(1, 8, 8))])), alone[0]
    )


def test_engine_order_of_applications_does_not_matter(stand):
    """Three applications in two orders, to rounding."""
    model, adapter, _ = stand
    strengths = {2: Strength(0.3), 3: Strength(-0.5, scaling=Scaling.K_AND_V), 4: Strength(1.1)}
    given = query(64)
    results = []
    for order in ((2, 3, 4), (4, 2, 3)):
        patched = model
        for seed in order:
            patched = apply_image_prompt(patched, adapter, prompt(picture(seed)), strengths[seed])
        results.append(effect(patched, 5, given))
    assert far(results[0], results[1]) < EXACT


def test_engine_one_reference_per_frame(stand):
    """Image i sees reference i, the last one stays, weight 0 keeps its place."""
    references = (picture(2), picture(3, 0.0), picture(4, 0.5))
    ours = outputs(stand, prompt(*references), per_frame=True, batch=8)
    for frame in range(4):
        one = references[min(frame, 2)]
        expected = stated(stand, (one,), batch=8)
        for row in (frame, 4 + frame):
            assert far(ours[row], expected[row]) < EXACT
            assert ours[row].any() == (frame != 1)


def test_engine_masks_stay_with_their_reference_per_frame(stand):
    """One without a mask, one with one, one with a mask for each image."""
    top, bottom = token_mask(1.0, 0.5, 0.0), token_mask(0.0, 0.0, 1.0)
    clip = torch.cat((top, top, bottom, top))
    references = (picture(2), picture(3, 1.0, top), picture(4, 1.0, clip))
    ours = outputs(stand, prompt(*references), per_frame=True, batch=8)
    masks = [torch.ones(1, *GRID), top, bottom, top]
    for frame in range(4):
        expected = stated(stand, (references[min(frame, 2)],), batch=8)
        for row in (frame, 4 + frame):
            assert far(ours[row], expected[row] * per_token(masks[frame], expected)) < EXACT


@pytest.mark.parametrize("mode", list(Scaling), ids=lambda mode: mode.value)
def test_engine_frame_weights_with_a_reference_per_frame(stand, mode):
    """Every mode, and one weight for all."""
    references = (picture(2, 0.75), picture(3))
    for frames in ((0.5,), (0.5, 0.25)):
        strength = Strength(1.0, frames=frames, scaling=mode)
        ours = outputs(stand, prompt(*references), strength, per_frame=True, batch=4)
        for frame, reference in enumerate(references):
            alone = Strength(frames[min(frame, len(frames) - 1)], scaling=mode)
            expected = outputs(stand, prompt(reference), alone, batch=4)
            assert far(ours[frame], expected[frame]) < EXACT
            assert far(ours[2 + frame], expected[2 + frame]) < EXACT


def test_engine_weighing_twice_multiplies(stand):
    """Weights and masks, of different sizes, and references that shared a mask still share one."""
    pair = prompt(picture(2, 0.5), picture(3))
    coarse = torch.tensor([[[1.0, 0.0]]])
    once = weigh(pair, 0.5, token_mask(0.5, 1.0, 1.0))
    twice = weigh(once, 0.5, coarse)
    assert [reference.weight for reference in twice.references] == [0.125, 0.25]
    first, second = (reference.mask for reference in twice.references)
    assert first is second
    expected = torch.tensor([[[0.5, 0.5, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]]).double()
    assert far(outputs(stand, twice), stated(stand, twice.references) * per_token(expected, expected)) < EXACT
