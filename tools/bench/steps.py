"""Whole steps of whole models, with and without the adapter: time, peak memory, and how often the host waits for the device.

Weights are noise, so nothing is downloaded; the work is that of the published models. Meant for a GPU with room for them.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import comfy.sample
from comfy.model_patcher import ModelPatcher

from .rows import Bench
from .scenes import CLIP_TEXT, FLUX_TEXT, Scene, build
from .sides import Case, Ours
from .timing import interleaved, paired, wait

Row = dict[str, Any]
STEPS = 4
SPARE = 1.4  # memory a model needs, over that of its weights


def fill(module: torch.nn.Module) -> None:
    """Noise of a size that keeps activations near one, in every parameter and in the positions that files bring along."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_().mul_(parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.05)
            if parameter.ndim == 1 and name.endswith(("weight", "scale")):
                parameter.add_(1.0)
        for name, buffer in module.named_buffers():
            if name.endswith("pos_embed"):
                buffer.normal_().mul_(0.1)


def whole_model(scene: Scene, bench: Bench, **changes: Any) -> ModelPatcher:
    """The scene's model with random weights on the device; `changes` make it another size."""
    dtype = torch.bfloat16 if scene.model == "FLUX" else bench.machine.dtype
    model = build(scene.model, bench.machine.device, dtype, **changes)
    model.offload_device = bench.machine.device
    fill(model.model.diffusion_model)
    return model


def room_for(scene: Scene, bench: Bench) -> bool:
    """Whether the device has the memory."""
    if bench.machine.device.type != "cuda":
        return False
    parameters = sum(one.numel() for one in build(scene.model, torch.device("meta"), torch.float32).model.parameters())
    return torch.cuda.mem_get_info(bench.machine.device)[0] > SPARE * 2 * parameters


def conditioning(model: ModelPatcher, scene: Scene) -> list:
    """A CONDITIONING of noise with everything that the model asks for."""
    config = model.model.model_config.unet_config
    text = FLUX_TEXT if scene.model == "FLUX" else CLIP_TEXT
    width = config.get("context_dim") or config["context_in_dim"]
    pooled = {"pooled_output": torch.randn(1, config.get("vec_in_dim") or 1280)}
    return [[torch.randn(1, text, width), pooled | {"guidance": 3.5}]]


def step_rows(scene: Scene, bench: Bench, model: ModelPatcher, tokens: int = 16) -> Row:
    """Milliseconds of a step, peak memory and waits, without and with one adapter."""
    ours = Ours(Case(scene, tokens), bench.machine, model)
    device = bench.machine.device
    runs: dict[str, Callable[[], Tensor]] = {
        "without": _run(model, scene, device),
        "with": _run(ours.model, scene, device),
    }
    readings = interleaved(runs, bench.repeats, device)
    row: Row = {
        "scene": scene.name,
        "tokens": tokens,
        "with_over_without": paired(readings["with"], readings["without"]),
    }
    for name, run in runs.items():
        values = sorted(readings[name])
        row[f"{name}_ms"] = 1e3 * values[len(values) // 2] / STEPS
        row[f"{name}_peak_bytes"] = peak(run, device)
        row[f"{name}_waits"] = waits(run, device)
    row["waits_per_step"] = (row["with_waits"] - row["without_waits"]) / STEPS
    return row


def _run(model: ModelPatcher, scene: Scene, device: torch.device) -> Callable[[], Tensor]:
    channels = model.model.model_config.unet_config["in_channels"]
    latent = torch.zeros(1, channels, *scene.latent)
    cfg = 1.0 if scene.passes == 1 else 5.0
    prompts = conditioning(model, scene), conditioning(model, scene)
    noise = torch.randn(latent.shape)

    def run() -> Tensor:
        return comfy.sample.sample(
            model, noise, STEPS, cfg, "euler", "normal", *prompts, latent, disable_pbar=True, seed=1
        )

    return run


def peak(run: Callable[[], Any], device: torch.device) -> int | None:
    """The most memory that was allocated at once."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    run()
    wait(device)
    return torch.cuda.max_memory_allocated(device)


def waits(run: Callable[[], Any], device: torch.device) -> int:
    """How often a run made the host wait, by PyTorch's own count of synchronising calls."""
    if device.type != "cuda":
        return 0
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message).lower() for one in said)
