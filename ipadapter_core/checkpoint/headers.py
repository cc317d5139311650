"""What a file of weights holds, without its tensors: container, key names, shapes, dtypes, metadata.

The container is told from the file's first bytes, never from its name. Everything in a header is checked before it is used.
"""

import io
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from torch import Tensor

from ..errors import OUT_OF_MEMORY, CheckpointError
from ..limits import DIMENSIONS, ELEMENTS, FOREIGN_HEADERS, HEADER_BYTES, KEYS, NESTING
from ..quoting import quoted
from .pickles import Inert, UnsafePickleError, read_tree
from .spec import Shapes

AGAIN = "it is damaged, cut short or no file of weights: download it again or choose another file"
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "I64": 64, "I32": 32, "I16": 16, "I8": 8,
    "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
DTYPES = {
    "torch.float64": "F64", "torch.float32": "F32", "torch.float16": "F16", "torch.bfloat16": "BF16",
    "torch.float8_e4m3fn": "F8_E4M3", "torch.float8_e5m2": "F8_E5M2", "torch.complex64": "C64", "torch.bool": "BOOL",
    "torch.int64": "I64", "torch.int32": "I32", "torch.int16": "I16", "torch.int8": "I8", "torch.uint8": "U8",
}  # fmt: skip


class Container(str, Enum):
    """How a file holds its tensors."""

    SAFETENSORS = "safetensors"
    TORCH = "a PyTorch file"
    GGUF = "GGUF"


class TensorHeader(NamedTuple):
    """A tensor's shape, and its dtype by safetensors' names (PyTorch's own where safetensors has none)."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Header:
    """What a file says of itself. Keys of nested dictionaries are joined by dots; what is no tensor is left out."""

    container: Container
    tensors: dict[str, TensorHeader]
    metadata: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def shapes(self) -> Shapes:
        """Key names and shapes alone."""
        return {key: tensor.shape for key, tensor in self.tensors.items()}


STARTS = (  # what a file that holds no weights begins with, and what it is
    (b"version https://git-lfs", "a Git LFS pointer, the file's address and not the file: download the file itself"),
    (b"<", "a web page: download it again, with the link to the file itself"),
    (b"{", "JSON, a workflow or a configuration: choose another file"),
    (b"\x89PNG", "a PNG image: choose another file"),
    (b"\xff\xd8\xff", "a JPEG image: choose another file"),
    (b"RIFF", "a WebP image or a sound: choose another file"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
)


class NotWeightsError(ValueError):
    """A path that leads to no file of weights, with what it leads to."""


def read_header(path: Path, content: bytes | None = None) -> Header:
    """The header of a file, or of safetensors found in it; raises `CheckpointError` that says what is there instead."""
    try:
        if content is not None:
            return _safetensors(io.BytesIO(content), len(content))
        check_regular(path)
        container = container_of(path)
        if container is Container.GGUF:
            return Header(container, {})
        if container is Container.SAFETENSORS:
            with path.open("rb") as file:
                return _safetensors(file, path.stat().st_size)
        return Header(container, _tensor_headers(flattened(read_tree(path, "meta"))))
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a broken file raises becomes one clear sentence
        raise CheckpointError(f"{quoted(path.name)}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """What is wrong with a file, and what to do."""
    if isinstance(error, NotWeightsError | UnsafePickleError):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or type(error).__name__}): download it again or choose another file"
    known = isinstance(error, ValueError) and not isinstance(error, UnicodeError)
    return f"cannot be read as safetensors or as a PyTorch file: {quoted(error) if known else type(error).__name__}; {AGAIN}"


def read_shapes(path: Path) -> Shapes:
    """Key names and tensor shapes; raises `CheckpointError` as `read_header` does."""
    return read_header(path).shapes


def container_of(path: Path) -> Container:
    """The container, by the first bytes; raises `ValueError` for files that hold no weights."""
    with path.open("rb") as file:
        start = file.read(FOREIGN_HEADERS)
    if start[:4] == b"GGUF":
        return Container.GGUF
    if start[4:8] == bytes(4) and start[8:9] == b"{":  # before pickles: the length of a header may begin as they do
        return Container.SAFETENSORS
    if start[:4] == b"PK\x03\x04" or start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return Container.TORCH
    found = next((said for begin, said in STARTS if start.lstrip().startswith(begin)), None)
    if found is not None:
        raise NotWeightsError(f"cannot be read as weights: it is {found}")
    raise ValueError(f"it begins with {quoted(start[:8])}" if start else "it is empty")


def flattened(tree: Any) -> dict[str, Tensor]:
    """The tensors in nested dictionaries under their keys joined by dots; one alone has no name.

    Raises `ValueError` where there is no dictionary, or more of it than the limits allow.
    """
    if isinstance(tree, Tensor):
        return {"": tree}
    if not isinstance(tree, Mapping):
        found_kind = "an object without tensors" if isinstance(tree, Inert) else type(tree).__name__
        raise ValueError(f"found {found_kind}, expected a dictionary of tensors")
    found: dict[str, Tensor] = {}
    for count, (key, tensor) in enumerate(_leaves(cast(Mapping[Any, Any], tree), "", 0)):
        if count > KEYS:
            raise ValueError(f"more than {KEYS} keys")
        if tensor is not None:
            found[key] = tensor
    return found


def header_of(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Header:
    """The header that flat tensors would have in a file."""
    return Header(Container.TORCH, _tensor_headers(tensors), metadata or {})


def _leaves(tree: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Tensor | None]]:
    """Every value that is no dictionary, tensors as they are and anything else as None, so that all of them count."""
    if depth >= NESTING:
        raise ValueError(f"dictionaries more than {NESTING} deep")
    for key, value in tree.items():
        name = f"{prefix}{key}" if isinstance(key, str | int) else f"{prefix}{type(key).__name__}"
        if isinstance(value, Mapping):
            yield "", None
            yield from _leaves(cast(Mapping[Any, Any], value), f"{name}.", depth + 1)
        else:
            yield name, value if isinstance(value, Tensor) else None


def _tensor_headers(tensors: Mapping[str, Tensor]) -> dict[str, TensorHeader]:
    return {key: TensorHeader(tuple(one.shape), _dtype(one)) for key, one in tensors.items()}


def _dtype(tensor: Tensor) -> str:
    """The dtype's name; of a tensor that is not plain rows of numbers its layout's, which nothing computes with."""
    if tensor.is_nested or tensor.is_sparse or tensor.is_quantized or str(tensor.layout) != "torch.strided":
        return f"{str(tensor.layout).removeprefix('torch.')} {tensor.dtype}"
    return DTYPES.get(str(tensor.dtype), str(tensor.dtype))


def check_regular(path: Path) -> None:
    """Raises `ValueError` for directories, pipes and devices, which must not be opened, and for links to nothing."""
    if path.is_symlink() and not path.exists():
        raise NotWeightsError(
            f"is a link to {quoted(os.readlink(path))}, which is not there: put the file in its place"
        )
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotWeightsError(f"is {'a folder' if path.is_dir() else 'no file'}, expected a file: choose another")


def _safetensors(file: IO[bytes], size: int) -> Header:
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    if length > HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes, at most {HEADER_BYTES} are read")
    text = file.read(length)
    entries = text.count(b'"data_offsets"')  # before reading them: each becomes three objects
    if entries > KEYS:
        raise ValueError(f"{entries} keys, at most {KEYS} are read")
    header = dictionary(json.loads(text.decode("utf-8")), "a header")
    metadata = dictionary(header.pop("__metadata__", None) or {}, "metadata")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("metadata that is not text by name")
    if len(header) > KEYS:
        raise ValueError(f"{len(header)} keys, at most {KEYS} are read")
    _check_offsets(header, size - 8 - length)
    tensors = {key: TensorHeader(tuple(one["shape"]), one["dtype"]) for key, one in header.items()}
    return Header(Container.SAFETENSORS, tensors, metadata)


def dictionary(value: Any, what: str) -> dict[str, Any]:
    """The value where JSON had a dictionary; raises `ValueError` otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} that is a {type(value).__name__}, expected a dictionary")
    return cast(dict[str, Any], value)


def _check_offsets(header: dict[str, Any], size: int) -> None:
    """Each tensor must lie in the file, be as long as its shape says, and overlap no other."""
    places = sorted(_place(key, entry) for key, entry in header.items())
    end_before = 0
    for start, end, key in places:
        if start < end_before or end > size:
            found = "overlaps another" if start < end_before else f"ends at {end} of {size} bytes"
            raise ValueError(f"{quoted(key)} {found}")
        end_before = max(end_before, end)


def _place(key: str, entry: Any) -> tuple[int, int, str]:
    """Where a tensor begins and ends; raises `ValueError` where its shape, dtype and length do not fit together."""
    shape, (start, end) = entry["shape"], entry["data_offsets"]
    numbers = [*shape, start, end]
    if len(shape) > DIMENSIONS or not all(type(one) is int and 0 <= one <= ELEMENTS for one in numbers):
        raise ValueError(f"{quoted(key)} has the shape {quoted(shape)}")
    elements = 1
    for one in shape:
        elements *= one
    bits = BITS.get(entry["dtype"])
    if bits is None or elements * bits != 8 * (end - start):
        raise ValueError(f"{quoted(key)} has {end - start} bytes for {quoted(shape)} of {quoted(entry['dtype'])}")
    return start, end, key
