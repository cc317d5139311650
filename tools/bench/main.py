"""The command: parses, measures, prints a line for each row, writes JSON, tables and pictures."""

import argparse
import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

SMALL = ("SD1.5 512",)
TARGETS = {"ours_over_floor": 1.05, "ours_over_peer": 0.75}


def main(argv: list[str]) -> int:
    """Measures what an image prompt costs beside the floor and, with --peer, beside another pack."""
    arguments = _parse(argv)
    if arguments.device == "cpu":
        from comfy.cli_args import args

        args.cpu = True  # before ComfyUI looks for a GPU
    import torch

    torch.set_grad_enabled(False)
    torch.set_num_threads(arguments.threads)
    result = _measure(arguments)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not arguments.quick:
        from .report import write

        write(result)
    for name, target in TARGETS.items():
        values = [row[name] for row in result["rows"] if row[name] is not None]
        if values:
            print(f"{name}: at most {max(values):.3f} in {len(values)} rows (aim on a CPU: {target})")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py bench", description=main.__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--peer", type=Path, metavar="DIR", help="the folder of a pack that registers IPAdapterAdvanced"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--repeats", type=int, default=9, help="readings of each side, at least 7")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; with one, processor time is measured (default: 1)"
    )
    parser.add_argument("--scene", action="append", metavar="NAME", help="only this one, 'SD1.5 512'; may be repeated")
    parser.add_argument("--every", action="store_true", help="all combinations, which takes hours on a CPU")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{SMALL[0]} and nothing else; prints, and leaves docs/benchmarks.md as it is",
    )
    arguments = parser.parse_args(argv)
    if arguments.repeats < 7:
        parser.error("--repeats: a median of fewer than 7 readings says little")
    return arguments


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    from ..bench import portraits, rows, stages, steps
    from .peer import machine_of_peer
    from .scenes import SCENES
    from .timing import kept_memory

    machine = rows.chosen_device(arguments.device)
    peer = rows.open_peer(arguments.peer)
    if peer:
        machine_of_peer(machine)
    bench = rows.Bench(machine, arguments.repeats, peer, whole=arguments.device == "cuda")
    names = SMALL if arguments.quick else arguments.scene or [scene.name for scene in SCENES]
    scenes = [scene for scene in SCENES if scene.name in names]
    if len(scenes) != len(names):
        raise SystemExit(f"--scene: choose from {', '.join(scene.name for scene in SCENES)}")
    found = []
    with kept_memory():
        for case in rows.cases(arguments.every, scenes):
            row = rows.measure(case, bench)
            found.append(row)
            print(_line(row), flush=True)
    result = {
        "date": date.today().isoformat(),
        "device": arguments.device,
        "machine": describe(arguments.device),
        "peer": arguments.peer.resolve().name if arguments.peer else None,
        "repeats": arguments.repeats,
        "rows": found,
        "stages": [],
    }
    if not arguments.quick:
        models = tuple(dict.fromkeys(scene.model for scene in scenes if scene.model != "FLUX"))
        result["stages"] = stages.stages(models, machine, peer, deep=True)
        for model in dict.fromkeys(scene.model for scene in scenes):
            result["stages"] += portraits.portrait_rows(model, machine)
        big = [scene for scene in scenes if steps.room_for(scene, bench)]
        result["steps"] = [steps.step_rows(scene, bench, steps.whole_model(scene, bench)) for scene in big]
    return result


def _line(row: dict[str, Any]) -> str:
    from .plots import label

    peer = (
        ""
        if row["ours_over_peer"] is None
        else f"  peer {row['peer_ms']:9.2f} ms  ours/peer {row['ours_over_peer']:.3f}"
    )
    figures = f"floor {row['floor_ms']:9.2f} ms  ours {row['ours_ms']:9.2f} ms  ours/floor {row['ours_over_floor']:.3f}"
    return f"{row['scene']:10} {label(row):34} {figures}{peer}"


def describe(device: str, dtype: str | None = None) -> dict[str, Any]:
    """The machine and what runs on it."""
    import comfyui_version
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    dtype = dtype or ("float16" if device == "cuda" else "float32")
    text = (
        f"{date.today().isoformat()}, {name}, {os.cpu_count()} cores ({torch.get_num_threads()} threads), {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, PyTorch {torch.__version__}, ComfyUI "
        f"{comfyui_version.__version__}, {dtype}"
    )
    return {"description": text, "name": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "a CPU"
