from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

def encode_model_conds(
    model_function: Callable[..., dict[str, Any]],
    conds: list[dict[str, Any]],
    noise: Tensor,
    device: torch.device,
    prompt_type: str,
    **kwargs: Any,
) -> list[dict[str, Any]]: ...
