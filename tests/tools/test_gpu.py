"""`dev.py gpu` in miniature on a CPU: the whole script runs, its bars can be missed, and its true sizes are those of files."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pack.ipadapter_core.checkpoint.headers import header_of
from pack.ipadapter_core.checkpoint.recognise import recognise
from pack.ipadapter_core.patchers.apply import FAMILIES as PATCHERS
from pack.tools.bench import timing
from pack.tools.gpu import bundle, compiling, layers, memory, report, shapes, speed, tune, ways, world
from pack.tools.gpu.main import PARTS
from pack.tools.gpu.setup import Setup

pytestmark = [pytest.mark.gpu, pytest.mark.tool]

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
PARAMETERS = {"SD1.5": 0.86e9, "SDXL": 2.57e9, "FLUX": 11.9e9, "SD3.5 Large": 8.06e9, "Anima": 2.0e9}
ADAPTERS = {"SD1.5": 49.1e6, "SDXL": 423.7e6, "FLUX": 528.5e6, "SD3.5 Large": 797.9e6, "Anima": 251.6e6}
ADAPTERS |= {"SDXL PuLID": 492.19e6, "FLUX PuLID": 571.03e6}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The command's exit status, what it printed, and its folder."""
    out = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, str(ROOT / "tools" / "run.py"), "tools.gpu.main", "--device", "cpu", "--tiny"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=False, env=environment)
    return run, out


def test_the_tiny_run_holds_every_bar(ran):
    """All parts, all families; nothing breaks and nothing misses."""
    run, out = ran
    result = json.loads((out / "gpu.json").read_text())
    assert [one for one in result["findings"] if one["passed"] is False] == []
    assert run.returncode == 0, run.stdout + run.stderr
    assert set(result["parts"]) >= {"right", "laws", "memory", "syncs", "speed", "table", "training"}
    assert {one["part"] for one in result["findings"]} == set(PARTS)
    for family in world.FAMILIES:
        assert any(one["what"].startswith(f"{family.name}: error against float32") for one in result["findings"])


def test_what_a_cpu_cannot_show_is_said(ran):
    """It is neither held nor missed."""
    found = json.loads((ran[1] / "gpu.json").read_text())["findings"]
    absent = [one for one in found if "needs a CUDA GPU" in one["note"]]
    assert {one["part"] for one in absent} == {"right", "laws", "memory", "speed", "table", "training"}
    assert all(one["passed"] is None and one["value"] is None for one in absent)


def test_the_report_says_it_all(ran):
    """A row for each finding in Markdown, a line for each on the screen."""
    run, out = ran
    found = json.loads((out / "gpu.json").read_text())["findings"]
    text = (out / "gpu.md").read_text()
    assert all(f"| {one['what']} |" in text for one in found)
    assert all(one["what"] in run.stdout for one in found)
    assert f"0 of {len(found)} findings miss their bar." in text


@pytest.fixture
def setup(tmp_path):
    """A miniature setup on the CPU."""
    return Setup(CPU, True, tmp_path, 7)


def test_bars_can_be_missed(setup):
    """Above the bar, no number at all, a law that does not hold, a part that raises."""
    setup.at_most("laws", "just so", 1.0, 1.0)
    setup.at_most("laws", "above", 1.1, 1.0)
    setup.at_most("laws", "no number", math.nan, 1.0)
    setup.holds("laws", "broken", False)

    def breaks(_):
        raise ValueError("a reason")

    setup.timed("memory", breaks)
    assert [finding.what for finding in report.missed(setup)] == [
        "above",
        "no number",
        "broken",
        "the part ran to its end",
    ]
    assert "a reason" in setup.findings[-1].note
    file = report.write(setup, {"description": "a test"}, 1.0)
    assert "4 of 5 findings miss their bar." in file.read_text()


@pytest.mark.parametrize("wrong", ["no mask", "no adapter", "other heads"])
def test_a_wrong_layer_misses_its_bar(setup, monkeypatch, wrong):
    """The error of separate calls is the measure. Each way to be wrong is seen."""
    changes = {
        "no mask": lambda one: one._replace(banks=tuple(bank._replace(multiplier=None) for bank in one.banks)),
        "no adapter": lambda one: one._replace(banks=()),
        "other heads": lambda one: one._replace(heads=1) if one.query.ndim == 3 else one._replace(banks=()),
    }
    monkeypatch.setattr(layers, "plain", lambda one: ways.plain(changes[wrong](one)))
    monkeypatch.setattr(layers, "shapes", lambda tiny: shapes.shapes(tiny)[:1])
    layers.layers_are_right(setup)
    assert len(report.missed(setup)) == len(layers.DTYPES)


def test_the_shapes_are_those_of_the_models():
    """Latent tokens, heads and head widths of every family at its usual size."""
    found = {(one.family, one.length, one.text, one.heads, one.width) for one in shapes.shapes(tiny=False)}
    assert {one[1:] for one in found if one[0] == "SD1.5"} == {
        (4096, 77, 8, 40), (1024, 77, 8, 80), (256, 77, 8, 160), (64, 77, 8, 160),
    }  # fmt: skip
    assert {one[1:] for one in found if one[0] == "Kolors"} == {(4096, 256, 10, 64), (1024, 256, 20, 64)}
    assert {one[1:] for one in found if one[0] == "FLUX"} == {(4096, 0, 24, 128), (4608, 0, 24, 128)}
    assert {one[0] for one in found} == {"SD1.5", "SDXL", "Kolors", "FLUX", "SD3.5 Large", "Anima"}
    tried = list(shapes.cases())
    assert {case.tokens for case in tried} == {1, 4, 16, 128, 257} and {case.adapters for case in tried} == {1, 2, 3, 4}


@pytest.mark.parametrize("family", world.FAMILIES, ids=lambda family: family.name)
def test_the_true_sizes_are_the_published_ones(family, tmp_path):
    """Parameters of the model and of its adapter, and they fit one another; on the meta device, so no memory is needed."""
    meta = Setup(torch.device("meta"), False, tmp_path, 7)
    model = world.network(family, meta, torch.bfloat16)
    network = model.model.diffusion_model
    assert sum(one.numel() for one in network.parameters()) == pytest.approx(PARAMETERS[family.model], rel=0.06)
    weights = family.true_shapes()
    assert sum(math.prod(shape) for shape in weights.values()) == pytest.approx(ADAPTERS[family.name], rel=0.01)
    weights = {key: torch.empty(shape, device="meta") for key, shape in weights.items()}
    spec = recognise(header_of(weights), "a test").spec
    assert len(PATCHERS[spec.base].blocks_for(spec, network)) == len(spec.layers)


def test_memory_is_judged(setup):
    """A held adapter that is too large, a peak that is too high, latents that differ."""
    good = {"held": 1e6, "query": 5e6, "finite": True, "apart": 0.0, "peak_with": 1.01e9, "peak_without": 1e9}
    on_gpu = replace(setup, device=torch.device("cuda"), findings=[])
    memory._judge("normal", "SD1.5", good, on_gpu)
    assert report.missed(on_gpu) == []
    for change in ({"held": 3e6}, {"peak_with": 1.1e9}, {"finite": False}, {"apart": 0.5}):
        before = len(report.missed(on_gpu))
        memory._judge("normal", "SD1.5", good | change, on_gpu)
        assert len(report.missed(on_gpu)) == before + 1, change


def test_speed_is_judged(setup):
    """Bars at true size: 1.05 plain, 0.5 with one kernel on long layers alone; none for a miniature."""
    scene = speed.SCENES[0]
    row = {"ours_over_floor": 1.2, "ours_ms": 1.0, "ours_over_peer": 0.5}
    row["layers"] = [{"layer": layer.name, "ours_over_floor": 0.8} for layer in scene.layers]
    speed._say_plain(row, scene, setup)
    assert report.missed(setup) == []
    whole = replace(setup, tiny=False, findings=[])
    speed._say_plain(row, scene, whole)
    speed._say_fused(row, scene, whole)
    assert len(report.missed(whole)) == 1 + sum(layer.tokens >= 1024 for layer in scene.layers)


def test_a_program_too_many_is_seen(setup, monkeypatch):
    """Every call of the compiler counts."""
    monkeypatch.setattr(compiling, "_compiled", lambda model, counter: _compiles_always(model, counter))
    compiling._one(world.world(world.FAMILIES[0], setup), None, setup)
    assert any("further programs" in finding.what for finding in report.missed(setup))


def _compiles_always(model, counter):
    counter.programs += 1
    return model


def test_a_table_is_written_and_read(setup, monkeypatch):
    """Rows of this generation replace their like; those of another stay; what was measured is said."""
    old = tune.KernelRow(8, 64, 4096, 77, 16, 1, None)
    new = tune.KernelRow(9, 64, 4096, 77, 16, 1, tune.USUAL)
    monkeypatch.setattr(tune.kernel_table, "rows", lambda: (old, new._replace(tile=None)))
    file = setup.out / "kernel_table.json"
    tune.write([new], file, "a GPU")
    data = json.loads(file.read_text())
    assert [tune.kernel_table.from_data(one) for one in data["rows"]] == [old, new]
    assert data["measured"]["9"].startswith("a GPU, ")


def test_the_fastest_tile_is_taken(setup, monkeypatch):
    """Only where it is clearly faster than separate calls."""
    monkeypatch.setattr(tune, "generation", lambda device: 9)
    times = dict(zip(tune.TILES, (0.85, 0.6, 0.7, 1.2, 0.95), strict=True))
    monkeypatch.setattr(tune, "_ratio", lambda one, tile, setup: times[tile])
    rows = tune.measured(setup)
    assert {row.tile for row in rows} == {tune.TILES[1]} and {row.tokens for row in rows} == set(tune.TOKENS)
    times = dict.fromkeys(tune.TILES, 0.95)
    assert {row.tile for row in tune.measured(setup)} == {None}


def test_events_are_the_clock_on_a_gpu(monkeypatch):
    """The time between two events, by how often the work ran."""
    order = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            order.append("record")

        def synchronize(self):
            order.append("wait")

        def elapsed_time(self, other):
            return 6.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: order.append("before"))
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.no_grad())
    assert timing.seconds(lambda: order.append("work"), 3, torch.device("cuda")) == pytest.approx(2e-3)
    assert order == ["before", "record", "work", "work", "work", "record", "wait"]


def test_the_bundle_has_code_and_nothing_else():
    """ComfyUI's modules with their small files; no tokenizer, no frontend, no image; a few megabytes."""
    files = list(bundle._modules(Path(os.environ["COMFYUI_PATH"])))
    names = {file.name for file in files}
    assert {"model_management.py", "samplers.py", "folder_paths.py", "nodes_torch_compile.py", "LICENSE"} <= names
    assert {file.suffix for file in files} <= {".py", ".json", ".txt", ""}
    assert sum(file.stat().st_size for file in files) < 10e6
