"""Every projector against diffusers' on the same weights."""

import pytest
import torch
from pack.tests.oracles.diffusers import fresh, relative, twins
from pack.tests.oracles.projector_kinds import FEATURES, KINDS, nested
from pack.tools.miniature.models import adapter_weights, managed, widths_of

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("kind", KINDS)
def test_image_tokens_equal_diffusers(kind, capsys):
    """The tokens differ by rounding alone."""
    pair = twins("SD1.5")
    fresh(pair)
    weights = adapter_weights(kind, widths_of(pair.ours), 96, seed=4, **KINDS[kind])
    pair.theirs._load_ip_adapter_weights([nested(weights)], low_cpu_mem_usage=False)
    features = torch.randn(2, *FEATURES[kind], generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        theirs = pair.theirs.encoder_hid_proj([features.unsqueeze(1)])[0].flatten(1, 2)
        ours = managed(weights).network.image_tokens(features)
    error = relative(ours - theirs, theirs)
    with capsys.disabled():
        print(f"\n  {kind:9} tokens {tuple(ours.shape)}  error {error:.1e}")
    assert error <= 1e-6
