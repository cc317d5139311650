"""The bench's rows for PuLID at true size: what a run holds of a person, as `docs/benchmarks.md` says."""

import pytest
import torch
from pack.tools.bench.portraits import portrait_rows
from pack.tools.bench.sides import Machine

pytestmark = [pytest.mark.gpu, pytest.mark.tool]


def test_what_a_run_holds_of_a_person_on_sdxl():
    """70 layers, positive and negative, 10 and 32 tokens in float16; no model has rows that has no PuLID."""
    machine = Machine(torch.device("cpu"), torch.float32)
    found = {(row["model"], row["stage"]): row for row in portrait_rows("SDXL", machine)}
    held = "held while sampling, float16"
    assert found["SDXL, PuLID v1", held]["kept_bytes"] == 83_200 * 10 * 2 * 2 * 2
    assert found["SDXL, PuLID v1.1", held]["kept_bytes"] == 83_200 * 32 * 2 * 2 * 2
    assert all(row["ms"] > 0 for row in found.values() if row["ms"] is not None) and len(found) == 8
    assert portrait_rows("SD1.5", machine) == []
