"""What came through the IPADAPTER socket of other packs."""

import pytest
from pack.ipadapter_core.compat.pipeline import pipeline_of
from pack.ipadapter_core.errors import IPAdapterError
from pack.tools.miniature.models import adapter_weights

pytestmark = pytest.mark.catalogue


def test_catalogue_pipelines_of_the_old_pack_are_understood(base):
    """Raw weights, and the dictionaries of its loaders."""
    weights = adapter_weights("base", [64, 64], 96)
    nested = {
        part: {key[len(part) + 1 :]: one for key, one in weights.items() if key.startswith(part)}
        for part in ("image_proj", "ip_adapter")
    }
    assert pipeline_of(nested).adapter.spec.projector == base.adapter.spec.projector
    whole = {
        "ipadapter": {"file": "x", "model": nested | {"faceidplusv2": True}},
        "clipvision": {"file": "y", "model": base.encoder},
    }
    found = pipeline_of(whole)
    assert found.encoder is base.encoder and found.analysis is None and "v2" in found.adapter.spec.file
    with pytest.raises(IPAdapterError, match="found int.*IPAdapter Unified Loader"):
        pipeline_of(3)
