from typing import Any, ClassVar

import torch
from torch import Tensor, nn

class manual_cast:
    Conv2d: ClassVar[type[nn.Conv2d]]
    LayerNorm: ClassVar[type[nn.LayerNorm]]
    Linear: ClassVar[type[nn.Linear]]

def cast_bias_weight(
    s: Any,
    input: Tensor | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    bias_dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor | None]: ...
def cast_to_input(weight: Tensor, input: Tensor, non_blocking: bool = False, copy: bool = True) -> Tensor: ...
