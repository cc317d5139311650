"""Whether a layer's text and image attention run as one kernel: where nobody else has a claim on the text's, and it is faster.

The kernel is `attention/fused_kernel.py`'s, on CUDA only. For each shape of a layer both ways are timed once in a process, and
the kernel is taken where it is clearly faster; where it cannot be compiled or run, or where PyTorch was told to be
deterministic, the plain way stays.
"""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from ...attention.image_attention import ImageBank
from ...errors import is_out_of_memory
from ...host import attention_is_pytorchs
from ...warn_once import warn_once

DTYPES = (torch.float16, torch.bfloat16)
ROUNDS = 5  # timed calls of each way, after two that are not
CLEARLY = 0.9  # of the plain way's time, so that no tie is decided one way today and the other way tomorrow
COMPILER = ("triton", "subprocess")  # the packages whose errors say that a kernel cannot be compiled
# what Triton raises beside them where a compiler, a driver, a library or a folder to write to is missing
WITHOUT_COMPILER = (ImportError, OSError, RuntimeError, AssertionError, AttributeError, TypeError, ValueError)
HAS_TRITON = find_spec("triton") is not None

_faster: dict[tuple, bool] = {}  # by everything that the time of a layer depends on


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


def fused(
    query: Tensor, key: Tensor, value: Tensor, banks: Sequence[ImageBank], heads: int, plain: Callable[[], Tensor]
) -> Tensor | None:
    """Text and image attention (B, L, D) by one kernel; None where `plain` is the way to go.

    query (B, L, D), key and value of the text (B, T, D).
    """
    if not available(query):
        return None
    try:
        from ...attention.fused_kernel import LARGEST, WIDEST, fused_attention

        if not 0 < len(banks) <= LARGEST or query.shape[-1] // heads > WIDEST or len(key) != len(query):
            return None
        way = partial(fused_attention, query, key, value, banks, heads)
        shape = _shape(query, key, banks, heads)
        with torch.cuda.device_of(query):  # Triton and events go to the current device
            if shape not in _faster:
                _faster[shape] = milliseconds(way) < CLEARLY * milliseconds(plain)
            return way() if _faster[shape] else None
    except Exception as error:
        if not cannot_compile(error):
            raise
        warn_once(f"one kernel for text and image attention does not run here ({type(error).__name__}): two are used")
        _faster[_shape(query, key, banks, heads)] = False
        return None


def cannot_compile(error: Exception) -> bool:
    """Whether Triton, its compiler or the driver says that the kernel does not run on this machine; the plain way does.

    Memory that ran out, a device that failed, a cancelled prompt and other people's errors are not ours to keep.
    """
    if is_out_of_memory(error) or isinstance(error, getattr(torch, "AcceleratorError", ())):
        return False
    return type(error).__module__.partition(".")[0] in COMPILER or isinstance(error, WITHOUT_COMPILER)


def milliseconds(work: Callable[[], object]) -> float:
    """How long one call takes on the current CUDA stream; waits for it."""
    for _ in range(2):
        work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(ROUNDS):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / ROUNDS


def _shape(query: Tensor, key: Tensor, banks: Sequence[ImageBank], heads: int) -> tuple:
    parts = tuple((one.key.shape, None if one.multiplier is None else one.multiplier.shape) for one in banks)
    return query.device, query.dtype, query.shape, key.shape, heads, parts
