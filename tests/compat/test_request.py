"""What the inputs of an apply node of ComfyUI_IPAdapter_plus ask for."""

from dataclasses import replace

import pytest
import torch
from pack.ipadapter_core.compat.request import Request
from pack.ipadapter_core.compat.weight_types import Results
from pack.ipadapter_core.masks.token_grid import CANVAS
from pack.ipadapter_core.prompt.image_prompt import EncodedImage
from pack.ipadapter_core.sampling.batch_layout import BatchLayout
from pack.ipadapter_core.sampling.polarity import PolarityRule
from pack.tools.miniature.models import adapter_weights, managed

pytestmark = pytest.mark.catalogue

AS_PLUS = Results.AS_PLUS


def test_catalogue_kolors_weight_multiplies_the_text_projection():
    """Keys and values of tokens that passed a scaled linear layer, its bias scaled, too."""
    adapter = managed(adapter_weights("base", [64, 64], 96), torch.float64)
    projection = torch.nn.Linear(96, 96, dtype=torch.float64)
    scaled = torch.nn.Linear(96, 96, dtype=torch.float64)
    with torch.no_grad():
        scaled.weight.copy_(projection.weight * 1.7)
        scaled.bias.copy_(projection.bias * 1.7)
    image = EncodedImage(torch.randn(1, 64).double(), torch.randn(1, 64).double())
    found, expected = replace(adapter, gain=1.7).bank(image, projection), adapter.bank(image, scaled)
    for one, other in zip((*found.keys, *found.values), (*expected.keys, *expected.values), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(("sides", "expected"), [(PolarityRule.BY_ROLE, (0, 1, 1)), (PolarityRule.BY_INDEX, (1, 0, 1))])
def test_catalogue_sides_of_three_prompts(sides, expected):
    """DualCFG hands over negative, middle, positive."""
    rows = BatchLayout((0, 1, 1), (0,), (CANVAS,) * 3, (8, 8), (0, 1, 2))
    assert rows.under(sides).polarities == expected
    assert Request(results=AS_PLUS).strength.polarity_rule is PolarityRule.BY_INDEX
    assert Request().strength.polarity_rule is PolarityRule.BY_ROLE
