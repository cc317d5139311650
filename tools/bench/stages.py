"""What comes before sampling: list, load, encode, apply, change a weight; in time, in memory, and in what sampling holds."""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil
import torch
from safetensors.torch import save_file

from ...ipadapter_core.adapter.load import load_adapter
from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.checkpoint.headers import read_shapes
from ...ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from ...ipadapter_core.patchers.apply import apply_image_prompt
from ...ipadapter_core.patchers.hooks.wrappers import applications_of
from ...ipadapter_core.prompt.image_prompt import ImagePrompt
from ...ipadapter_core.sampling.strength import Strength
from .adapters import encoder, file_weights
from .peer import NODE, Peer
from .scenes import SCENES, model_at_size
from .sides import Case, Machine

Row = dict[str, Any]
TOKENS = 16
REPEATS = 7


def own_memory() -> int:
    """Bytes that belong to this process alone: what is mapped from files does not count."""
    gc.collect()
    memory = psutil.Process().memory_info()
    return memory.rss - getattr(memory, "shared", 0)


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, int, Any]:
    """Milliseconds (the median), bytes that stayed allocated after the first call, and the last result."""
    before, readings, kept, result = own_memory(), [], 0, None
    for turn in range(repeats):
        start = perf_counter()
        result = work()
        readings.append(perf_counter() - start)
        kept = own_memory() - before if turn == 0 else kept
    return 1e3 * median(readings), kept, result


def stages(models: tuple[str, ...], machine: Machine, peer: Peer | None, deep: bool) -> list[Row]:
    """A row for each model and stage. With `deep` the encoder has its true 32 layers."""
    found = []
    vision = encoder() if deep else encoder(2)
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            path = Path(folder) / f"{model}.safetensors"
            save_file({key: tensor.clone() for key, tensor in file_weights(model, TOKENS).items()}, path)
            found += [
                {"model": model, "file_bytes": path.stat().st_size} | row for row in _ours(model, path, vision, machine)
            ]
            if peer is not None:
                found += [{"model": model, "side": "peer"} | row for row in _peer(model, path, vision, peer)]
            path.unlink()
    return found


def _row(stage: str, work: Callable[[], Any], repeats: int = 1) -> tuple[Row, Any]:
    milliseconds, kept, result = timed(work, repeats)
    return {"stage": stage, "ms": milliseconds, "kept_bytes": kept}, result


def _ours(model: str, path: Path, vision, machine: Machine) -> list[Row]:
    base = model_at_size(model)
    picture = torch.rand(1, 224, 224, 3)
    rows = [_row("list (read the header)", lambda: read_shapes(path), REPEATS)[0]]
    row, adapter = _row("load", lambda: load_adapter(str(path)))
    rows.append(row)
    rows.append(_row("load again", lambda: load_adapter(str(path)), REPEATS)[0])
    row, (prompt, _) = _row(
        "encode one image", lambda: encode_references(adapter.spec, vision, picture, EncodeOptions())
    )
    rows.append(row)

    def apply(weight: float = 1.0, given: ImagePrompt = prompt, by: ManagedAdapter = adapter):
        return apply_image_prompt(base, by, given, Strength(weight))

    row, patched = _row("apply", apply)
    rows.append(row)
    rows.append(_row("apply again, same reference", apply, REPEATS)[0])
    rows.append(_row("change of weight only", lambda: apply(0.5), REPEATS)[0])
    (application,) = applications_of(patched.model_options["transformer_options"])
    placing, _ = _row("first step (place keys and values)", lambda: application.placed(machine.device, torch.float16))
    held = {"stage": "held while sampling, float16", "ms": None, "kept_bytes": application.bytes_on(machine.device)}
    return [{"side": "ours"} | row for row in (*rows, placing, held)]


def _peer(model: str, path: Path, vision, peer: Peer) -> list[Row]:
    import folder_paths

    loader = peer.nodes.get("IPAdapterModelLoader")
    if loader is None:
        return []
    folder_paths.add_model_folder_path("ipadapter", str(path.parent))
    load = getattr(loader(), loader.FUNCTION)
    rows = []
    row, (weights,) = _row("load", lambda: load(path.name))
    rows.append(row)
    rows.append(_row("load again", lambda: load(path.name), 3)[0])
    scene = next(scene for scene in SCENES if scene.model == model)
    case = Case(scene, TOKENS)
    row, patched = _row(f"encode and apply ({NODE})", lambda: peer.apply(model_at_size(model), weights, vision, case))
    rows.append(row)
    rows.append(_row("change of weight only", lambda: peer.apply(model_at_size(model), weights, vision, case))[0])
    hooks = patched.model_options["transformer_options"]["patches_replace"]["attn2"]
    module = next(iter(hooks.values())).kwargs[0].get("ipadapter")
    if isinstance(module, torch.nn.Module):
        held = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
        rows.append({"stage": "held while sampling, as loaded", "ms": None, "kept_bytes": held})
    return rows
