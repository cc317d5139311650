"""Memory under each of ComfyUI's modes, each in a process of its own, because a mode is chosen when ComfyUI starts."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors.torch import save_file

from .memory_run import BASES, MODES
from .setup import Setup
from .world import FAMILIES, world

ROOT = Path(__file__).resolve().parents[2]
HELD = {"SD1.5": 2e6, "SDXL": 11e6}  # bytes of the adapter on the device while sampling
LATENTS_APART = 2e-2  # of the output, between modes: weights that are cast on their way round alike
PATIENCE = 180  # seconds; a miniature's processor may be busy with other things


def memory_is_small(setup: Setup) -> None:
    """SD1.5 and SDXL in every mode; a miniature in the first alone."""
    with tempfile.TemporaryDirectory() as folder:
        if not setup.tiny:
            _write_models(Path(folder), setup)
        for mode in list(MODES)[: 1 if setup.tiny else None]:
            found = _run(mode, setup, Path(folder))
            if isinstance(found, str):
                setup.holds("memory", f"{mode}: the run came to its end", False, found)
                continue
            for base, row in found.items():
                _judge(mode, base, row, setup)


def _write_models(folder: Path, setup: Setup) -> None:
    """Diffusion model files of true size, for ComfyUI's own loader."""
    for family in FAMILIES:
        if family.name in BASES:
            weights = world(family, setup).model.model.diffusion_model.state_dict()
            save_file(
                {key: tensor.cpu().contiguous() for key, tensor in weights.items()},
                folder / f"{family.name}.safetensors",
            )


def _run(mode: str, setup: Setup, folder: Path) -> dict[str, dict] | str:
    """What the run of a mode found, or in words why there is nothing."""
    command = [sys.executable, str(ROOT / "tools" / "run.py"), "tools.gpu.memory_run", "--mode", mode]
    command += ["--device", setup.device.type, "--folder", str(folder), *(["--tiny"] if setup.tiny else [])]
    try:
        seconds = PATIENCE if setup.on_gpu else 4 * PATIENCE
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"it was still going after {seconds} seconds"
    with (setup.out / "memory.log").open("a", encoding="utf-8") as log:
        log.write(f"== {mode}\n{run.stderr}\n")
    return json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else "see memory.log beside this report"


def _judge(mode: str, base: str, row: dict, setup: Setup) -> None:
    name = f"{base}, {mode}"
    setup.at_most(
        "memory", f"{name}: the adapter on the device while sampling", row["held"] / 1e6, HELD[base] / 1e6, "MB"
    )
    if setup.on_gpu:
        over = (row["peak_with"] - row["peak_without"]) / 1e6
        allowed = (row["held"] + 4 * row["query"]) / 1e6
        setup.at_most("memory", f"{name}: peak over the run without", over, allowed, "MB", "its bank and four queries")
        setup.figure("memory", f"{name}: peak", row["peak_with"] / 1e6, "MB")
    else:
        setup.not_here("memory", f"{name}: peak over the run without")
    setup.holds("memory", f"{name}: the result is finite", row["finite"])
    if row["apart"] is not None:
        setup.at_most("memory", f"{name}: latents beside those of the first mode", row["apart"], LATENTS_APART)
