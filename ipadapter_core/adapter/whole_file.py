"""Tensors into a safetensors file that is there whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..written_whole import written_whole


def write_whole(tensors: Mapping[str, Tensor], file: Path, metadata: Mapping[str, str]) -> None:
    """Writes the file and its folder. Raises `OSError` where it cannot; what had the name before then stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode(False), torch.no_grad():
        own = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in tensors.items()}
    try:
        with written_whole(file) as partial:
            save_file(own, partial, dict(metadata))
    except SafetensorError as error:
        raise OSError(str(error).partition(" at path ")[0]) from error  # what follows is a temporary file's name
