"""One process of `memory.py`: starts ComfyUI's memory management in one mode, and samples with and without an adapter.

Run by tools/run.py; the last line it prints is JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

GB = 1024**3
CAP = 6 * GB
MODES: dict[str, dict[str, Any]] = {
    "normal": {},
    "--lowvram": {"lowvram": True},
    "--novram": {"novram": True},
    "--disable-dynamic-vram": {"disable_dynamic_vram": True},
    "6 GB": {"disable_dynamic_vram": True},
}
BASES = ("SD1.5", "SDXL")
LARGEST_QUERY = {"SD1.5": 2 * 4096 * 320 * 2, "SDXL": 2 * 4096 * 640 * 2}  # bytes


def main(argv: list[str]) -> int:
    """Sets ComfyUI's options before anything of it is imported that reads them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args(argv)
    from comfy.cli_args import args

    args.cpu = given.device == "cpu"
    for name, value in MODES[given.mode].items():
        setattr(args, name, value)
    if given.mode == "6 GB" and not args.cpu:
        _cap(args)
    if not args.cpu:
        _dynamic_memory()
    import torch

    torch.set_grad_enabled(False)
    print(json.dumps({base: _measure(base, given) for base in BASES}))
    return 0


def _cap(args: Any) -> None:
    """Six gigabytes: the allocator refuses more, and ComfyUI is told to leave the rest alone."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(CAP / total)
    args.reserve_vram = (total - CAP) / GB


def _dynamic_memory() -> None:
    """What ComfyUI's main.py does for dynamic memory, where the options and the machine allow it."""
    from comfy.cli_args import enables_dynamic_vram

    if not enables_dynamic_vram():
        return
    import comfy_aimdo.control

    comfy_aimdo.control.init()
    import comfy.memory_management
    import comfy.model_management
    import comfy.model_patcher

    devices = [device.index or 0 for device in comfy.model_management.get_all_torch_devices()]
    if comfy_aimdo.control.init_devices((device, 0) for device in devices):
        comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
        comfy.memory_management.aimdo_enabled = True


def _measure(base: str, given: argparse.Namespace) -> dict[str, Any]:
    import torch

    from ...ipadapter_core.patchers.hooks.wrappers import applications_of
    from .setup import Setup
    from .world import FAMILIES, sample, world

    setup = Setup(torch.device(given.device), given.tiny, given.folder, 1)
    family = next(family for family in FAMILIES if family.name == base)
    one = world(family, setup, model=None if given.tiny else _loaded(given.folder / f"{base}.safetensors"))
    peaks, model = {}, one.applied()
    for name, patched in (("without", one.model), ("with", model)):
        _reset(given.device)
        latents = sample(one, patched, 2)
        peaks[f"peak_{name}"] = torch.cuda.max_memory_allocated() if given.device == "cuda" else None
    held: list[int] = []
    (application,) = applications_of(model.model_options["transformer_options"])

    def look(*_: Any) -> None:
        held.append(application.bytes_on(setup.device) + one.adapter.patcher.loaded_size())

    sample(one, model, 2, look=look)
    first = given.folder / f"{base}.latents"
    apart = _apart(latents, torch.load(first)) if first.is_file() else None
    torch.save(latents, first) if apart is None else None
    finite = bool(torch.isfinite(latents).all())
    return {"held": max(held), "query": LARGEST_QUERY[base], "finite": finite, "apart": apart} | peaks


def _loaded(file: Path) -> Any:
    """The model through ComfyUI's own loader, from the file that the parent has written."""
    import comfy.sd

    return comfy.sd.load_diffusion_model(str(file))


def _apart(latents: Any, others: Any) -> float:
    return float((latents - others).double().norm() / others.double().norm())


def _reset(device: str) -> None:
    import torch

    import comfy.model_management

    if device == "cuda":
        comfy.model_management.unload_all_models()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
