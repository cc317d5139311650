"""Networks that look at faces in PyTorch files: known by their keys, and read with every tensor checked."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from ...checkpoint.headers import read_header
from ...checkpoint.tensors import check_numbers
from ...errors import CheckpointError, FaceAnalysisError, is_out_of_memory
from ...host import read_tensors
from ...quoting import quoted

Network = TypeVar("Network", bound=nn.Module)


def has_keys(path: Path, *keys: str) -> bool:
    """Whether a file has tensors of these names; what cannot be read has none."""
    try:
        tensors = read_header(path).tensors
    except CheckpointError:
        return False
    return all(key in tensors for key in keys)


def network_in(path: Path, build: Callable[[dict[str, Tensor]], Network], what: str, expected: str) -> Network:
    """The network that is built of a file's tensors, to be asked alone.

    Raises `FaceAnalysisError` where they are damaged or another model's: found a damaged `what`, `expected` something else.
    """
    try:
        tensors = read_tensors(path, read_header(path))
        check_numbers({key: one for key, one in tensors.items() if one.is_floating_point()}, path.name)
        return build(tensors).eval().requires_grad_(False)
    except (CheckpointError, OSError, KeyError, ValueError, IndexError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = quoted(" ".join(str(error).split("\n")[:2]))
        raise FaceAnalysisError(
            f"{quoted(path.name)}: found a damaged {what} ({reason}), expected {expected}"
        ) from error
