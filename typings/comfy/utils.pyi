from typing import Any

import torch

def load_torch_file(ckpt: str, safe_load: bool = False, device: torch.device | None = None) -> dict[str, Any]: ...
