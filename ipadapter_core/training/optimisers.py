"""The optimisers that a training can use, by name: PyTorch's own, and those of bitsandbytes where it is installed."""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import TrainingError


class OptimiserName(str, Enum):
    """What a user chooses from; all of one family, so that a learning rate means about the same for each."""

    ADAMW = "AdamW"
    ADAMW_8BIT = "AdamW 8-bit (bitsandbytes)"
    RADAM = "RAdam"
    NADAM = "NAdam"
    ADAMAX = "Adamax"
    SGD = "SGD"


class _Choice(NamedTuple):
    make: Callable[[], Callable[..., Any]]
    options: dict[str, Any]


def _eight_bit() -> Callable[..., Any]:
    try:
        import bitsandbytes
    except ImportError as error:
        raise TrainingError(
            "the optimiser AdamW 8-bit needs the Python package bitsandbytes, which is not installed: run `pip install "
            "bitsandbytes` in ComfyUI's Python, or choose AdamW in Train IP-Adapter"
        ) from error
    return bitsandbytes.optim.AdamW8bit


DECOUPLED = {"betas": (0.9, 0.99), "weight_decay": 0.01}
CHOICES: dict[OptimiserName, _Choice] = {
    OptimiserName.ADAMW: _Choice(lambda: torch.optim.AdamW, DECOUPLED),
    OptimiserName.ADAMW_8BIT: _Choice(_eight_bit, DECOUPLED),
    OptimiserName.RADAM: _Choice(lambda: torch.optim.RAdam, DECOUPLED | {"decoupled_weight_decay": True}),
    OptimiserName.NADAM: _Choice(lambda: torch.optim.NAdam, DECOUPLED | {"decoupled_weight_decay": True}),
    OptimiserName.ADAMAX: _Choice(lambda: torch.optim.Adamax, {"betas": (0.9, 0.99)}),
    OptimiserName.SGD: _Choice(lambda: torch.optim.SGD, {"momentum": 0.9}),
}


def make_optimiser(name: OptimiserName, parameters: Iterable[Tensor]) -> Any:
    """The optimiser over parameters; the loop sets its learning rate before each step.

    Raises `TrainingError` where it belongs to a package that is not installed.
    """
    choice = CHOICES[name]
    return choice.make()(list(parameters), lr=1e-9, **choice.options)
