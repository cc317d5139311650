"""Tensors into a safetensors file that is there whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def write_whole(tensors: Mapping[str, Tensor], file: Path, metadata: Mapping[str, str]) -> None:
    """Writes beside the file first; only what has reached the disk takes its name. Raises `OSError` where it does not.

    What had the name before stays until then, and stays if there is no room.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    with torch.inference_mode(False), torch.no_grad():
        own = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in tensors.items()}
    try:
        partial.touch()
        mode = partial.stat().st_mode  # as any new file of this user's; safetensors' own is closed to everybody else
        save_file(own, partial, dict(metadata))
        partial.chmod(mode)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(file)
    except SafetensorError as error:
        raise OSError(str(error).partition(" at path ")[0]) from error  # what follows is a temporary file's name
    finally:
        partial.unlink(missing_ok=True)
