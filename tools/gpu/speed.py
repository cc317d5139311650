"""Speed: each layer and step over the floor and the peer of `dev.py bench`, plain and as one kernel, and whole steps."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from ...ipadapter_core.patchers.hooks import kernel_choice
from ..bench import rows, steps
from ..bench.peer import machine_of_peer
from ..bench.scenes import SCENES, Scene
from ..bench.sides import Case, Machine, Ours, given
from .setup import Setup
from .tune import USUAL

ROOT = Path(__file__).resolve().parents[2]
PLAIN, FUSED, LONG = 1.05, 0.5, 1024  # bars over the floor; latent tokens from which the kernel's bar holds
COMPILING = 2.0  # seconds for a model, once on a machine
TOKENS = 16


def speed_is_kept(setup: Setup) -> None:
    """The bench's own rows, first plain, then with the kernel wherever it can run. A miniature's figures have no bar."""
    machine = Machine(setup.device, setup.half if setup.on_gpu else torch.float32)
    peer = rows.open_peer(setup.peer)
    if peer:
        machine_of_peer(machine)
    bench = rows.Bench(machine, setup.repeats, peer, whole=setup.on_gpu)
    for scene in _scenes(setup):
        with kernel_choice.only(None):
            row = rows.measure(Case(scene, TOKENS), bench)
        _say_plain(row, scene, setup)
        if setup.on_gpu and scene.model != "FLUX":
            with kernel_choice.only(USUAL):
                _say_fused(rows.measure(Case(scene, TOKENS), bench), scene, setup)
        _launches(scene, machine, setup)
        if setup.on_gpu and steps.room_for(scene, bench):
            _whole(steps.step_rows(scene, bench, steps.whole_model(scene, bench)), setup)
    if not setup.on_gpu:
        return setup.not_here("speed", "the fused kernel, launches, and what compiling it costs")
    _first_use(setup)


def _scenes(setup: Setup) -> list[Scene]:
    return [Scene("SD1.5", 64, 2)] if setup.tiny else [scene for scene in SCENES if scene.pixels in (512, 1024)]


def _say_plain(row: dict, scene: Scene, setup: Setup) -> None:
    name = f"{scene.name}, plain: a step over the floor"
    if setup.tiny:
        setup.figure("speed", name, row["ours_over_floor"], "", "a miniature: no bar")
    else:
        setup.at_most("speed", name, row["ours_over_floor"], PLAIN, note=f"{row['ours_ms']:.3g} ms a step")
    if row["ours_over_peer"] is not None:
        setup.figure("speed", f"{scene.name}, plain: a step over the peer", row["ours_over_peer"], "")


def _say_fused(row: dict, scene: Scene, setup: Setup) -> None:
    for layer, one in zip(scene.layers, row["layers"], strict=True):
        name = f"{scene.name}, one kernel: {one['layer']} over the floor"
        if layer.tokens >= LONG:
            setup.at_most("speed", name, one["ours_over_floor"], FUSED)
        else:
            setup.figure("speed", name, one["ours_over_floor"], "")


def _launches(scene: Scene, machine: Machine, setup: Setup) -> None:
    """Kernels that one call of a layer's hook launches."""
    if not setup.on_gpu:
        return
    ours = Ours(Case(scene, TOKENS), machine)
    for way, tile in (("plain", None), ("one kernel", USUAL)):
        with kernel_choice.only(tile):
            work = ours.work(given(ours.case, scene.layers[0], machine))
            work()
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
                work()
                torch.cuda.synchronize()
        kernels = sum(event.device_type is torch.autograd.DeviceType.CUDA for event in seen.events())
        setup.figure("speed", f"{scene.name}, {way}: launches in a layer, the text's included", kernels, "")


def _whole(row: dict, setup: Setup) -> None:
    name = f"{row['scene']}: a whole step with the adapter over one without"
    setup.figure("speed", name, row["with_over_without"], "", f"{row['without_ms']:.4g} and {row['with_ms']:.4g} ms")


def _first_use(setup: Setup) -> None:
    """The first call for each kind of layer of SDXL in a new process: with Triton's cache empty, and again."""
    with tempfile.TemporaryDirectory() as cache:
        for name, bar in (("for the first time on a machine", COMPILING), ("in a later process", COMPILING / 4)):
            command = [sys.executable, str(ROOT / "tools" / "run.py"), "tools.gpu.first_use"]
            environment = os.environ | {"TRITON_CACHE_DIR": cache}
            run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            seconds = json.loads(run.stdout.splitlines()[-1])
            setup.at_most("speed", f"SDXL: making the kernel ready {name}", seconds, bar, "s")
