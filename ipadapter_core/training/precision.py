"""In which numbers a training computes; what it learns is kept in float32 either way."""

from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum

import torch


class Precision(str, Enum):
    """What a model's layers compute with."""

    BF16 = "bf16"
    FP32 = "fp32"


DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP32: torch.float32}


@contextmanager
def computing(precision: Precision, device: torch.device) -> Generator[None, None, None]:
    """PyTorch's autocast, where it is asked for."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision is Precision.BF16):
        yield
