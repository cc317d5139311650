"""A file of true size without contents: a header, and a hole where the numbers would be."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

BYTES = 2  # of a number: both half precisions


def hollow_file(
    path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "F16", metadata: Mapping[str, str] | None = None
) -> Path:
    """A safetensors file with these keys and shapes, in half precision by safetensors' name."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for key, shape in shapes.items():
        size = BYTES * torch.Size(shape).numel()
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
    return path
