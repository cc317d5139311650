from typing import Any

import torch
from PIL import Image

def load_torch_file(ckpt: str, safe_load: bool = False, device: torch.device | None = None) -> dict[str, Any]: ...

class ProgressBar:
    def __init__(self, total: int) -> None: ...
    def update_absolute(
        self, value: int, total: int | None = None, preview: tuple[str, Image.Image, int | None] | None = None
    ) -> None: ...
