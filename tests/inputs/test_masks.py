"""Masks as they come through a socket: one rule for every node."""

import pytest
import torch
from pack.ipadapter_core.errors import InputError
from pack.ipadapter_core.inputs.masks import is_black, read_masks
from torch import Tensor

pytestmark = pytest.mark.inputs

WHERE = "mask of Apply IP-Adapter"


def masks(*shape: int) -> Tensor:
    """Seeded noise from 0 to 1."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


READ = {
    "one": ((5, 7), (1, 5, 7)),
    "several": ((3, 5, 7), (3, 5, 7)),
    "with a channel": ((3, 1, 5, 7), (3, 5, 7)),
    "as an image of one channel": ((3, 5, 7, 1), (3, 5, 7)),
    "one pixel wide, with a channel": ((3, 1, 5, 1), (3, 5, 1)),
    "one pixel": ((1, 1, 1, 1), (1, 1, 1)),
}


@pytest.mark.parametrize("name", READ)
def test_every_layout_of_masks_is_the_same_mask(name):
    """(M, H, W), the same numbers in the same order."""
    given, expected = READ[name]
    mask = masks(*given)
    assert read_masks(mask, WHERE).shape == expected
    assert torch.equal(read_masks(mask, WHERE).flatten(), mask.flatten())


def spoiled(value: float) -> Tensor:
    """One pixel of 64 by 64."""
    mask = masks(1, 64, 64)
    mask[0, 9, 9] = value
    return mask


REFUSED = {
    "NaN": (lambda: spoiled(float("nan")), "1 of them NaN or infinite"),
    "infinity": (lambda: spoiled(float("inf")), "1 of them NaN or infinite"),
    "0 to 255": (lambda: masks(1, 8, 8) * 255, "values from .* to 2.*from 0 to 1"),
    "turned round": (lambda: -masks(1, 8, 8), "values from -0.9"),
    "twice": (lambda: masks(1, 8, 8) * 2, "to 1.9"),
    "no mask": (lambda: masks(0, 8, 8), r"\[0, 8, 8\].*empty"),
    "an image": (lambda: masks(1, 16, 16, 3), r"\[1, 16, 16, 3\].*Convert Image to Mask"),
    "channels": (lambda: masks(1, 3, 16, 16), "expected masks"),
    "a video": (lambda: masks(1, 1, 2, 16, 16), "expected masks"),
    "a line": (lambda: masks(16), r"\[16\]"),
    "whole numbers": (lambda: (masks(1, 8, 8) * 9).long(), "dtype int64"),
    "larger than memory": (lambda: torch.ones(1, 1, 1).expand(1, 100_000, 100_000), "100000, 100000"),
    "nothing": (lambda: "white", "str instead of a tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_mask_is_refused_in_one_sentence(name):
    """A mask of one NaN pixel, which would spread over the whole matrix product, among them."""
    make, found = REFUSED[name]
    with pytest.raises(InputError, match=found) as refused:
        read_masks(make(), WHERE)
    message = str(refused.value)
    assert message.startswith(f"{WHERE}: found ") and "expected" in message and len(message) < 400


def test_bytes_and_truth_values_are_exact():
    """255 and True are 1."""
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(read_masks(levels, WHERE), levels.float() / 255)
    assert torch.equal(read_masks(levels > 127, WHERE), (levels > 127).float())


def test_black_is_told_from_nearly_black():
    """All masks of the batch count."""
    black = torch.zeros(3, 8, 8)
    assert is_black(black)
    black[2, 7, 7] = 1e-6
    assert not is_black(black)
