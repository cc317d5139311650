"""Masks as ComfyUI_IPAdapter_plus laid them over the tokens."""

import math

import numpy as np
import pytest
import torch
from pack.ipadapter_core.compat.request import Request
from pack.ipadapter_core.compat.stretched_mask import stretched_mask
from pack.ipadapter_core.compat.weight_types import Results
from pack.ipadapter_core.masks.canvas_mask import canvas_mask, token_weights
from pack.tests.oracles.encoder_inputs import rand

pytestmark = pytest.mark.catalogue

AS_PLUS = Results.AS_PLUS


def by_hand(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear without antialiasing, pixel centres aligned at the edges of the image."""
    out = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y, x = (row + 0.5) * mask.shape[0] / height - 0.5, (column + 0.5) * mask.shape[1] / width - 0.5
            y, x = max(y, 0.0), max(x, 0.0)
            top, left = min(int(y), mask.shape[0] - 1), min(int(x), mask.shape[1] - 1)
            down, right = min(top + 1, mask.shape[0] - 1), min(left + 1, mask.shape[1] - 1)
            dy, dx = y - top, x - left
            out[row, column] = (
                mask[top, left] * (1 - dy) * (1 - dx) + mask[top, right] * (1 - dy) * dx
                + mask[down, left] * dy * (1 - dx) + mask[down, right] * dy * dx
            )  # fmt: skip
    return out


@pytest.mark.parametrize(
    ("latent", "grid"), [((64, 64), (32, 32)), ((45, 128), (12, 32)), ((17, 23), (9, 12)), ((13, 40), (7, 20))]
)
def test_catalogue_old_masks_are_guessed_and_stretched(latent, grid):
    """Height from the aspect, one more where that does not divide the tokens."""
    mask = rand(1, 30, 50)
    found = stretched_mask(mask).token_weights(grid, latent)[0, :, 0].double().numpy()
    tokens = grid[0] * grid[1]
    height = int(latent[0] / math.sqrt(latent[0] * latent[1] / tokens))
    height += 1 if tokens % height else 0
    width = tokens // height
    values = by_hand(mask[0].double().numpy(), height, width).ravel()
    before = (tokens - len(values)) // 2
    expected = np.zeros(tokens)
    expected[before : before + len(values)] = values
    assert np.allclose(found, expected, atol=1e-6)


def test_catalogue_old_masks_differ_where_they_sheared():
    """1024 x 360: a layer of 12 x 32 tokens was treated as one of 11."""
    mask = torch.zeros(1, 45, 128)
    mask[:, 22:] = 1
    sheared = stretched_mask(mask).token_weights((12, 32), (45, 128)).view(-1)
    exact = Request(attn_mask=mask).mask
    assert exact is mask and Request(attn_mask=mask, results=AS_PLUS).mask.values.shape == mask.shape
    assert (sheared - token_weights(canvas_mask(mask), (12, 32), (45, 128)).view(-1)).abs().max() > 0.3
