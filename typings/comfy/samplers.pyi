from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .model_patcher import ModelPatcher

def encode_model_conds(
    model_function: Callable[..., dict[str, Any]],
    conds: list[dict[str, Any]],
    noise: Tensor,
    device: torch.device,
    prompt_type: str,
    **kwargs: Any,
) -> list[dict[str, Any]]: ...

class CFGGuider:
    cfg: float
    conds: dict[str, list[dict[str, Any]]]
    inner_model: Any
    model_options: dict[str, Any]
    model_patcher: ModelPatcher
    def __init__(self, model_patcher: ModelPatcher) -> None: ...
    def set_cfg(self, cfg: float) -> None: ...
    def set_conds(self, positive: list[list[Any]], negative: list[list[Any]]) -> None: ...
    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] = ..., seed: int | None = None
    ) -> Tensor: ...

def calc_cond_batch(
    model: Any,
    conds: list[list[dict[str, Any]] | None],
    x_in: Tensor,
    timestep: Tensor,
    model_options: dict[str, Any],
) -> list[Tensor]: ...
def cfg_function(
    model: Any,
    cond_pred: Tensor,
    uncond_pred: Tensor,
    cond_scale: float,
    x: Tensor,
    timestep: Tensor,
    model_options: dict[str, Any] = ...,
    cond: list[dict[str, Any]] | None = None,
    uncond: list[dict[str, Any]] | None = None,
) -> Tensor: ...
