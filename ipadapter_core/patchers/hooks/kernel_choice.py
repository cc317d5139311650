"""Whether a layer's text and image attention run as one kernel: where nobody else has a claim on the text's, and it is faster.

The kernel is `attention/fused_kernel.py`'s, on CUDA only. Where it is faster was measured beforehand
(`attention/kernel_table.py`), so that no step of a user's waits for a measurement; where no row covers a layer, where it
cannot be compiled or run, or where PyTorch was told to be deterministic, the separate calls stay.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from ...attention.image_attention import LayerKeyValue
from ...attention.kernel_table import Tile, tile_for
from ...errors import is_out_of_memory
from ...host import attention_is_pytorchs
from ...warn_once import warn_once

DTYPES = (torch.float16, torch.bfloat16)
COMPILER = ("triton", "subprocess")  # the packages whose errors say that a kernel cannot be compiled
# what Triton raises beside them where a compiler, a driver, a library or a folder to write to is missing
WITHOUT_COMPILER = (ImportError, OSError, RuntimeError, AssertionError, AttributeError, TypeError, ValueError)
HAS_TRITON = find_spec("triton") is not None

_refused: set[tuple[torch.device, torch.dtype, int]] = set()  # device, dtype and head width that it did not run for
_only: list[Tile | None] = []


@contextmanager
def only(tile: Tile | None) -> Generator[None, None, None]:
    """The kernel with this tile wherever it can run at all, or nowhere, whatever the table says; to measure and compare."""
    _only.append(tile)
    try:
        yield
    finally:
        _only.pop()


def available(query: Tensor) -> bool:
    """Whether one kernel may do it all for a query on CUDA: half precision, no gradients, and nothing is being recorded."""
    return (
        query.dtype in DTYPES
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.cuda.is_current_stream_capturing()
        and attention_is_pytorchs()
        and not torch.are_deterministic_algorithms_enabled()
        and HAS_TRITON
    )


def fused(query: Tensor, key: Tensor, value: Tensor, banks: Sequence[LayerKeyValue], heads: int) -> Tensor | None:
    """Text and image attention (B, L, D) by one kernel; None where separate calls are the way to go.

    query (B, L, D), key and value of the text (B, T, D). Raises `torch.OutOfMemoryError` as any attention does.
    """
    # the kernel does not know the text's output apart, nor places of references
    alone = all(bank.orthogonality is None and bank.sight is None for bank in banks)
    tile = _tile(query, key, banks, heads) if alone and available(query) else None
    kind = (query.device, query.dtype, query.shape[-1] // heads)
    if tile is None or kind in _refused:
        return None
    try:
        from ...attention.fused_kernel import LARGEST, WIDEST, fused_attention

        if not 0 < len(banks) <= LARGEST or kind[-1] > WIDEST or len(key) != len(query):
            return None
        with torch.cuda.device_of(query):  # Triton goes to the current device
            return fused_attention(query, key, value, banks, heads, tile)
    except Exception as error:
        if not cannot_compile(error):
            raise
        _refused.add(kind)
        warn_once(f"one kernel for text and image attention does not run here ({type(error).__name__}): two are used")
        return None


def cannot_compile(error: Exception) -> bool:
    """Whether Triton, its compiler or the driver says that the kernel does not run on this machine; the plain way does.

    Memory that ran out, a device that failed, a cancelled prompt and other people's errors are not ours to keep.
    """
    if is_out_of_memory(error) or isinstance(error, getattr(torch, "AcceleratorError", ())):
        return False
    return type(error).__module__.partition(".")[0] in COMPILER or isinstance(error, WITHOUT_COMPILER)


def _tile(query: Tensor, key: Tensor, banks: Sequence[LayerKeyValue], heads: int) -> Tile | None:
    if _only:
        return _only[-1]
    if not banks:
        return None
    width, tokens = query.shape[-1] // heads, max(bank.key.shape[1] for bank in banks)
    return tile_for(_generation(query.device), width, query.shape[1], key.shape[1], tokens, len(banks))


@cache
def _generation(device: torch.device) -> int:
    return torch.cuda.get_device_capability(device)[0]
