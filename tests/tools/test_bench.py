"""`dev.py bench` itself, on layers small enough for a test: every side, every stage, whole steps, and the written report."""

import json
import math

import pytest
import torch
from pack.tools.bench import plots, report, rows, stages, steps, timing
from pack.tools.bench.scenes import Scene
from pack.tools.bench.sides import Case, Machine
from pack.tools.miniature.models import tiny_model

pytestmark = pytest.mark.tool

CPU = torch.device("cpu")
SMALL, FLUX = Scene("SD1.5", 64, 2), Scene("FLUX", 32, 1)
BENCH = rows.Bench(Machine(CPU, torch.float32), 7, None, whole=False)


@pytest.fixture(scope="module")
def measured():
    """Rows of a few cases."""
    cases = [
        Case(SMALL, 4),
        Case(SMALL, 16, 2, mask=True, schedule=True),
        Case(SMALL, 16, pictures=2, frames=True),
        Case(FLUX, 4),
    ]
    with torch.no_grad():
        return [rows.measure(case, BENCH) for case in cases]


def test_rows_have_what_the_report_needs(measured):
    """Parameters, times and ratios; a row's time is its layers' times by how many there are, and what the step decides."""
    for row in measured:
        assert {"tokens", "adapters", "mask", "schedule", "batch"} <= row.keys()
        assert row["floor_ms"] > 0 and row["ours_ms"] > 0 and row["ours_over_floor"] > 0
        assert row["peer_ms"] is None and row["ours_over_peer"] is None
        counted = sum(one["count"] * one["ours_ms"] for one in row["layers"]) + row["step_ms"]
        assert row["ours_ms"] == pytest.approx(counted, rel=0.5)


def test_cases_vary_everything():
    """Each of the issue's numbers of tokens, adapters and switches, for each model at its size."""
    found = list(rows.cases(every=False))
    for scene in {case.scene for case in found}:
        here = [case for case in found if case.scene == scene]
        assert {case.tokens for case in here} == {4, 16, 128, 257} and {case.adapters for case in here} == {1, 2, 3, 4}
        assert {(case.mask, case.schedule) for case in here} == {(a, b) for a in (False, True) for b in (False, True)}
    assert len(set(rows.cases(every=True))) > 3 * len(set(found))


def test_ratios_are_paired():
    """A machine that slows down for half of the readings changes no ratio."""
    floor = [1.0, 1.0, 1.0, 10.0, 10.0]
    assert timing.paired([1.1, 1.1, 1.1, 11.0, 11.0], floor) == pytest.approx(1.1)
    assert timing.paired([1.1, 0.9, 11.0, 11.0, 1.1], [1.0, 1.0, 10.0, 10.0, 1.0]) == pytest.approx(1.1)
    assert timing.summed([(2, [1.0, 2.0]), (3, [10.0, 20.0])]) == [32.0, 64.0]


def test_uncertainty_is_that_of_the_median():
    """As measured by drawing again and again."""
    draw = torch.Generator().manual_seed(0)
    samples = 1 + 0.05 * torch.randn(2000, 31, generator=draw, dtype=torch.float64)
    medians = samples.median(dim=1).values
    said = torch.tensor([timing.uncertainty(row.tolist(), [1.0] * 31) for row in samples]).mean()
    assert float(said) == pytest.approx(float(medians.std()), rel=0.1)


def test_interleaving_turns(monkeypatch):
    """Each side has as many readings as there are repeats, and each is first in its turn."""
    order = []
    works = {name: lambda name=name: order.append(name) for name in "abc"}
    monkeypatch.setattr(timing, "seconds", lambda work, *_: work() or 1.0)
    readings = timing.interleaved(works, 6, CPU)
    assert {name: len(values) for name, values in readings.items()} == dict.fromkeys("abc", 6)
    assert "".join(order[-18:]) == "abcbcacab" * 2 and len(order) < 30


def test_report_keeps_the_other_device(measured, tmp_path):
    """A run on one device replaces its own part of the document, and draws images."""
    document = tmp_path / "benchmarks.md"
    result = {"device": "cpu", "machine": {"description": "a test"}, "peer": None, "rows": measured, "stages": []}
    other = result | {"device": "cuda", "machine": {"description": "another"}}
    for one in (other, result, json.loads(json.dumps(result | {"machine": {"description": "newer"}}))):
        report.write(one, document, tmp_path)
    text = document.read_text()
    assert text.count("newer.") == text.count("another.") == 1 and "a test" not in text
    assert text.count("## On a CPU") == text.count("## On a GPU") == 1
    assert (tmp_path / "bench-cpu-sd15-64.png").stat().st_size > 1000


def test_labels_and_pictures(measured):
    """What a row varies is written; images have ink of every side."""
    assert plots.label(measured[1]) == "16 tokens, 2 adapters, mask, schedule"
    image = plots.bars(measured[:2], "a test", {"floor": "floor", "ours": "ours", "peer": "peer"})
    colours = {colour for _, colour in image.getcolors(100_000)}
    assert {plots.COLOURS["floor"], plots.COLOURS["ours"]} <= colours


def test_stages_in_time_and_memory(monkeypatch):
    """Load, encode, apply and what is held, for a real file. Here with a shallow encoder."""
    found = stages.stages(("SD1.5",), BENCH.machine, None, deep=False)
    named = {row["stage"]: row for row in found}
    assert named["apply again, same reference"]["ms"] < named["apply"]["ms"] / 5
    assert named["change of weight only"]["ms"] < named["apply"]["ms"] / 5
    assert named["load"]["kept_bytes"] < named["load"]["file_bytes"] / 4
    assert named["held while sampling, float16"]["kept_bytes"] <= 2_000_000
    assert all(row["ms"] is None or math.isfinite(row["ms"]) for row in found)


def test_whole_steps(monkeypatch):
    """With and without the adapter, on a miniature: no wait is added, and the adapter acts."""
    monkeypatch.setattr(steps, "STEPS", 2)
    row = steps.step_rows(Scene("SD1.5", 128, 2), BENCH, tiny_model("SD1.5"))
    assert row["with_ms"] > 0 and row["without_ms"] > 0 and row["with_over_without"] > 0
    assert row["waits_per_step"] == 0 and not steps.room_for(SMALL, BENCH)
