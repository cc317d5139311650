"""Latents and conditionings as they come through sockets."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import InputError
from .tensors import described, tensor_of

LATENTS = "latents [batch, channels, height, width] of finite numbers"
TEXTS = "a conditioning: pairs of a text's tensor [1, tokens, width] and what comes with it"


def read_latents(value: Any, where: str) -> Tensor:
    """Latents (B, C, H, W), or (B, C, T, H, W) of a model with a place for time. Raises `InputError` for anything else."""
    samples = cast(Mapping[str, Any], value).get("samples") if isinstance(value, Mapping) else value
    latents = tensor_of(samples, where, LATENTS)
    if latents.ndim not in (4, 5) or not latents.is_floating_point() or not bool(torch.isfinite(latents).all()):
        raise InputError(
            f"{where}: found {described(latents)}, expected {LATENTS}: connect VAE Encode or a node that makes a training set"
        )
    return latents


def read_conditioning(value: Any, where: str) -> list[Any]:
    """ComfyUI's list of texts, which may be empty, each with what comes with it. Raises `InputError` for anything else."""
    entries = cast(Sequence[Any], value) if isinstance(value, list | tuple) else (None,)
    if not all(_is_entry(entry) for entry in entries):
        raise InputError(
            f"{where}: found {described(value)}, expected {TEXTS}: connect CLIP Text Encode, or what it gave"
        )
    return list(entries)


def _is_entry(entry: Any) -> bool:
    pair = cast(Sequence[Any], entry) if isinstance(entry, list | tuple) else ()
    return len(pair) == 2 and isinstance(pair[0], Tensor) and isinstance(pair[1], dict)
