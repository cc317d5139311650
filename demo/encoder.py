"""The demo's image encoder: ComfyUI's own CLIP vision class, small enough to train here."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from comfy.clip_vision import ClipVisionModel

CONFIG_FILE = Path(__file__).with_name("clip_vision.json")  # older versions of ComfyUI read it from a file
CONFIG: dict[str, Any] = json.loads(CONFIG_FILE.read_text(encoding="utf-8"))


def clip_vision(weights: dict[str, Tensor]) -> ClipVisionModel:
    """The encoder as ComfyUI serves it, from a state dict in transformers' key names."""
    encoder = ClipVisionModel(str(CONFIG_FILE))
    missing, unexpected = encoder.load_sd(weights)
    if missing or unexpected:
        raise ValueError(f"The demo's CLIP vision file does not fit: missing {missing}, unexpected {unexpected}.")
    return encoder
