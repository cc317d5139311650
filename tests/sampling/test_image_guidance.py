"""The two sums of guidance by text and image, and which passes they need."""

import pytest
import torch
from pack.ipadapter_core.sampling.image_guidance import GuidanceOrder, ImageGuidance, Predictions

pytestmark = pytest.mark.engine

IMAGE_FIRST, TEXT_FIRST = GuidanceOrder.IMAGE_FIRST, GuidanceOrder.TEXT_FIRST
BOTH, NEITHER, ONE = torch.randn(3, 2, 4, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
FOUND = Predictions(BOTH, NEITHER, ONE)


@pytest.mark.parametrize(("text", "image"), [(7.0, 5.0), (4.0, 0.0), (0.0, 3.0), (1.0, 2.5), (2.5, 1.0), (3.0, 3.0)])
def test_the_published_sums(text, image):
    """In float64; alike scales are ordinary guidance."""
    first = NEITHER + image * (ONE - NEITHER) + text * (BOTH - ONE)
    second = NEITHER + text * (ONE - NEITHER) + image * (BOTH - ONE)
    for order, wanted in ((IMAGE_FIRST, first), (TEXT_FIRST, second)):
        guidance = ImageGuidance(text, image, order)
        torch.testing.assert_close(guidance.guided(FOUND), wanted, rtol=0, atol=1e-12)
        assert guidance.is_plain == (text == image)
        if guidance.is_plain:
            torch.testing.assert_close(guidance.guided(FOUND), NEITHER + text * (BOTH - NEITHER), rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", GuidanceOrder, ids=lambda one: one.value)
@pytest.mark.parametrize("scales", [(7.0, 5.0), (7.0, 1.0), (0.0, 5.0), (0.0, 1.0), (1.0, 0.0), (1.0, 5.0), (5.0, 0.0)])
def test_a_pass_that_is_not_needed_has_no_part_in_the_sum(order, scales):
    """With the middle pass in the place of those that are not needed the sum is the same; one that is needed moves it."""
    guidance = ImageGuidance(*scales, order)
    needed = guidance.needed
    assert needed.neither == (guidance.scales[0] != 1) and needed.both == (guidance.scales[1] != 0)
    stand_in = Predictions(BOTH if needed.both else ONE, NEITHER if needed.neither else ONE, ONE)
    torch.testing.assert_close(guidance.guided(stand_in), guidance.guided(FOUND), rtol=0, atol=1e-12)
    for number, is_needed in enumerate((*needed, True)):
        moved = Predictions(*(one + (place == number) for place, one in enumerate(FOUND)))
        assert bool((guidance.guided(moved) - guidance.guided(FOUND)).abs().max() > 1e-9) == is_needed
