"""The key names and shapes of a file without its tensors, remembered by path, size and time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from ..errors import OUT_OF_MEMORY, CheckpointError
from .spec import Shapes

HEADER_LIMIT = 100_000_000  # bytes; safetensors' own limit
Kind = TypeVar("Kind")


class FileCache:
    """A function of a file's path that is computed anew only when the file changed."""

    def __init__(self, function: Callable[[Path], Kind]):
        self.function = function
        self.known: dict[str, tuple[int, int, Kind]] = {}

    def __call__(self, path: Path) -> Kind:
        status = path.stat()
        state = (status.st_size, status.st_mtime_ns)
        known = self.known.get(str(path))
        if known is None or known[:2] != state:
            known = (*state, self.function(path))
            self.known[str(path)] = known
        return known[2]


def read_shapes(path: Path) -> Shapes:
    """Key names, nested ones joined by dots, and tensor shapes; raises `CheckpointError` when the file is broken."""
    try:
        return _safetensors(path) if path.suffix in (".safetensors", ".sft") else _pickled(path)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a broken file raises becomes one clear sentence
        raise CheckpointError(f"{path.name}: cannot be read ({type(error).__name__}): download it again") from error


def _safetensors(path: Path) -> Shapes:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER_LIMIT, path.stat().st_size):
            raise ValueError(f"a header of {length} bytes")
        header = json.loads(file.read(length))
    return {key: tuple(entry["shape"]) for key, entry in header.items() if key != "__metadata__"}


def _pickled(path: Path) -> Shapes:
    """PyTorch's own format: tensors are made without contents."""
    return dict(_flat(torch.load(path, map_location="meta", weights_only=True, mmap=_is_archive(path))))


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _flat(tree: dict, prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, torch.Tensor):
            yield f"{prefix}{key}", tuple(value.shape)
