from typing import Any

import torch
from torch import Tensor

from .model_patcher import ModelPatcher

class Output:
    def __getattr__(self, name: str) -> Any: ...
    def __getitem__(self, key: str) -> Any: ...
    def __setitem__(self, key: str, item: Any) -> None: ...

class ClipVisionModel:
    image_size: int
    image_mean: list[float]
    image_std: list[float]
    model_type: str
    config: dict[str, Any]
    return_all_hidden_states: bool
    load_device: torch.device
    dtype: torch.dtype
    model: Any
    patcher: ModelPatcher
    def __init__(self, json_config: str | dict[str, Any]) -> None: ...
    def load_sd(self, sd: dict[str, Tensor]) -> tuple[list[str], list[str]]: ...
    def get_sd(self) -> dict[str, Tensor]: ...
    def encode_image(self, image: Tensor, crop: bool = True) -> Output: ...

def convert_to_transformers(sd: dict[str, Tensor], prefix: str) -> dict[str, Tensor]: ...
def load_clipvision_from_sd(
    sd: dict[str, Tensor], prefix: str = "", convert_keys: bool = False
) -> ClipVisionModel | None: ...
