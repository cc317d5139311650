from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

def load_lora(lora: Mapping[str, Tensor], to_load: Mapping[str, Any], log_missing: bool = True) -> dict[str, Any]: ...
def model_lora_keys_unet(model: nn.Module, key_map: dict[str, str] = {}) -> dict[str, str]: ...
