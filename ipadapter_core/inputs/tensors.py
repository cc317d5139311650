"""What images and masks have in common: floating numbers from 0 to 1, all finite, at least one."""

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..limits import RANGE_SLACK

EXACT = {torch.uint8: 255, torch.bool: 1}  # dtypes that say what their numbers mean, and what stands for 1 in them
DESCRIBED = 2**24  # elements of which the range is told in an error; more would take long


def tensor_of(value: Any, where: str, expected: str) -> Tensor:
    """The value where it is a dense tensor in memory with something in it; raises `InputError` otherwise."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_quantized or value.is_meta:
        raise InputError(f"{where}: found {described(value)}, expected {expected}: connect a node that gives one")
    if not value.numel():
        raise InputError(
            f"{where}: found {described(value)}, which is empty, expected {expected}, at least one: look at the node "
            "connected there, it gave nothing"
        )
    return value.detach()


def unit_values(tensor: Tensor, where: str, expected: str) -> Tensor:
    """The tensor in float32 with every value from 0 to 1; the very same one where it is so already.

    uint8 is divided by 255 and bool counts as 0 and 1, exactly. Values up to `RANGE_SLACK` outside are clipped.
    Raises `InputError` for other dtypes, for NaN and infinity, and for values further outside.
    """
    if tensor.dtype in EXACT:
        return tensor.float() / EXACT[tensor.dtype]
    if not tensor.is_floating_point():
        raise InputError(
            f"{where}: found {described(tensor)}, expected {expected} of a floating dtype (or uint8, which is divided by "
            "255): convert it in the node connected there"
        )
    values = tensor.float()
    low, high = extremes(values)
    if low >= 0 and high <= 1:
        return values
    if (
        not low >= -RANGE_SLACK or not high <= 1 + RANGE_SLACK
    ):  # so that NaN, which compares with nothing, comes here, too
        raise InputError(
            f"{where}: found {described(values)}, expected {expected} with values from 0 to 1: {_remedy(low, high)} in the "
            "node connected there"
        )
    return values.clamp(0, 1)


def _remedy(low: float, high: float) -> str:
    if math.isnan(low):
        return "a VAE in half precision makes such (--fp32-vae), else find what went wrong"
    return "divide them by 255" if low >= 0 else "bring them from -1..1 to 0..1"


def extremes(values: Tensor) -> tuple[float, float]:
    """The least and the greatest value, NaN where there is one, in one pass over the memory."""
    low, high = torch.aminmax(_as_it_lies(values))
    return float(low), float(high)


def _as_it_lies(values: Tensor) -> Tensor:
    """The same values in the order of the memory, each once: five times as fast for channels that lie in planes."""
    for dimension, stride in enumerate(values.stride()):
        if stride == 0 and values.shape[dimension]:
            values = values.narrow(dimension, 0, 1)
    return values.permute(sorted(range(values.ndim), key=values.stride, reverse=True))


def described(value: Any) -> str:
    """Shape, dtype and range of a tensor, or the type of something else, in words."""
    if not isinstance(value, Tensor):
        return f"{type(value).__name__} instead of a tensor"
    words = f"a tensor of shape {list(value.shape[:8])} and dtype {str(value.dtype).removeprefix('torch.')}"
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        return f"{words} that is sparse, nested, quantised or without memory"
    once = _as_it_lies(value)
    if value.is_complex() or not 0 < once.numel() <= DESCRIBED:
        return words
    values = once.double()
    finite = values[values.isfinite()]
    lost = values.numel() - finite.numel()
    if finite.numel():
        words += f" with values from {float(finite.min()):g} to {float(finite.max()):g}"
    return f"{words}, {lost} of them NaN or infinite" if lost else words
