"""An adapter into a file of the published layout of its kind, which this pack, diffusers and other packs read."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint.key_names import LORA
from ..checkpoint.layouts import published
from ..checkpoint.spec import AdapterSpec
from ..errors import TrainingError
from ..limits import LARGEST
from ..quoting import quoted
from .managed import ManagedAdapter
from .whole_file import write_whole


class FileDtype(str, Enum):
    """In which numbers a file holds its weights."""

    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"


DTYPES = {FileDtype.FP16: torch.float16, FileDtype.BF16: torch.bfloat16, FileDtype.FP32: torch.float32}


def save_adapter(adapter: ManagedAdapter, file: Path, dtype: FileDtype, more: Mapping[str, str] | None = None) -> None:
    """Writes an adapter, whole or not at all; `more` goes into the metadata beside what the adapter's training noted.

    Raises `TrainingError` where a weight is too large for the numbers, or the file cannot be written.
    """
    tensors = {name: tensor.to(DTYPES[dtype]) for name, tensor in _weights(adapter).items()}
    too_large = [name for name, tensor in tensors.items() if not bool((tensor.float().abs() <= LARGEST).all())]
    if too_large:
        raise TrainingError(
            f"{len(too_large)} of the adapter's tensors, such as {quoted(too_large[0])}, hold numbers beyond {LARGEST:g} or "
            "none at all, expected smaller ones: train again with a lower learning_rate in Train IP-Adapter"
        )
    try:
        write_whole(tensors, file, _described(adapter.spec) | dict(adapter.record) | dict(more or {}))
    except OSError as error:
        raise TrainingError(
            f"{quoted(file.name)}: cannot be written ({quoted(error)}), expected a folder with room for it: make room and run "
            "Save IP-Adapter again, the training's checkpoint is kept"
        ) from error


def _weights(adapter: ManagedAdapter) -> dict[str, Tensor]:
    """Everything of the adapter's file by its published names, a LoRA inside it included."""
    own = {**adapter.network.state_dict(), **{LORA + name: tensor for name, tensor in adapter.lora.items()}}
    return {published(adapter.spec.layer_kind, name): tensor for name, tensor in own.items()}


def _described(spec: AdapterSpec) -> dict[str, str]:
    return {"format": "pt", "adapter": spec.kind, "encoder": spec.encoder, "image_tokens": str(spec.projector.tokens)}
