"""One pair, a checkpoint and an adapter: the laws, the size of the effect, and the error beside diffusers."""

import gc
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

import comfy.model_management
from comfy.model_patcher import ModelPatcher

from ...ipadapter_core.adapter.load import load_adapter
from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.patchers.apply import apply_image_prompt
from ...ipadapter_core.sampling.strength import Strength
from ..gpu.setup import relative
from .found import Checkpoint, sha256
from .prompts import Given
from .reference import reference_of, why_not
from .sampling import Sampled, load, sample

WEIGHT, STEPS = 0.8, 2
BAR = 5e-6  # of the effect, in float32, or in float64 where that is too coarse for these weights
SMALLEST, LARGEST = 1e-4, 10.0  # of the output: an effect of sane size


class Verified(NamedTuple):
    """A row of the table. `error` and `base_error` are relative to the effect; None where nothing was compared."""

    checkpoint: str
    checkpoint_sha256: str
    adapter: str
    adapter_sha256: str
    kind: str
    encoder: str
    zero_is_identical: bool
    effect: float
    error: float | None
    base_error: float | None
    precision: str
    passed: bool
    seconds: float
    megabytes: float | None
    note: str


def verify(model: ModelPatcher, checkpoint: Checkpoint, adapter: Path, given: Given, pixels: int) -> Verified:
    """Runs the pair on ComfyUI's device."""
    start, device = perf_counter(), comfy.model_management.get_torch_device()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    ours = load_adapter(str(adapter))
    nothing = apply_image_prompt(model, ours, given.prompt, Strength(0.0))
    zero = sample(nothing, checkpoint.base, pixels, STEPS)
    alone, patched = runs = _runs(model, checkpoint, ours, given, pixels)
    identical = bool(torch.equal(alone.latents, zero.latents))
    effect = relative(patched.latents - alone.latents, alone.latents)
    note, precision = why_not(checkpoint, ours.spec), torch.float32
    error = base_error = None
    if note is None:
        sizes = model.model.model_config.unet_config
        error, base_error = compared(checkpoint, sizes, adapter, given, pixels, runs)
        if error > BAR:
            precision = torch.float64
            runs = _runs(load(checkpoint, precision), checkpoint, ours, given, pixels)  # which is let go of at once
            error, base_error = compared(checkpoint, sizes, adapter, given, pixels, runs)
    sane = bool(torch.isfinite(patched.latents).all()) and SMALLEST < effect < LARGEST
    return Verified(
        checkpoint.path.name, sha256(checkpoint.path), adapter.name, sha256(adapter), ours.spec.kind, given.made_with,
        identical, effect, error, base_error, str(precision).removeprefix("torch."),
        identical and sane and (error is None or error <= BAR), perf_counter() - start,
        torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None, note or "",
    )  # fmt: skip


def _runs(
    model: ModelPatcher, checkpoint: Checkpoint, adapter: ManagedAdapter, given: Given, pixels: int
) -> tuple[Sampled, Sampled]:
    patched = apply_image_prompt(model, adapter, given.prompt, Strength(WEIGHT))
    alone, with_it = (sample(one, checkpoint.base, pixels, STEPS) for one in (model, patched))
    return alone, with_it


def compared(
    checkpoint: Checkpoint,
    sizes: dict[str, Any],
    adapter: Path,
    given: Given,
    pixels: int,
    runs: tuple[Sampled, Sampled],
) -> tuple[float, float]:
    """The largest error of a call with the adapter, and of one without, both over the size of the adapter's effect."""
    alone, patched = runs
    latent = patched.calls[0].latent
    comfy.model_management.unload_all_models()
    gc.collect()
    theirs = reference_of(checkpoint, sizes, latent.device, latent.dtype)
    plain = [theirs.output(call, pixels, None) for call in (*alone.calls, *patched.calls)]
    theirs.attach(adapter, WEIGHT)
    wanted = [theirs.output(call, pixels, given.prompt) for call in patched.calls]
    effects = [with_it - without for with_it, without in zip(wanted, plain[len(alone.calls) :], strict=True)]
    return _worst(patched, wanted, effects), _worst(alone, plain[: len(alone.calls)], effects)


def _worst(run: Sampled, wanted: list[Tensor], effects: list[Tensor]) -> float:
    pairs = zip(run.calls, wanted, effects, strict=True)
    return max(relative(call.output - theirs, effect) for call, theirs, effect in pairs)
