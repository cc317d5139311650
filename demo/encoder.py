"""The demo's image encoder: ComfyUI's own CLIP vision class, small enough to train here."""

from typing import Any

from torch import Tensor

from comfy.clip_vision import ClipVisionModel

CONFIG: dict[str, Any] = {
    "model_type": "clip_vision_model",
    "image_size": 64,
    "patch_size": 8,
    "num_channels": 3,
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 384,
    "projection_dim": 128,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


def clip_vision(weights: dict[str, Tensor]) -> ClipVisionModel:
    """The encoder as ComfyUI serves it, from a state dict in transformers' key names."""
    encoder = ClipVisionModel(CONFIG)
    missing, unexpected = encoder.load_sd(weights)
    if missing or unexpected:
        raise ValueError(f"The demo's CLIP vision file does not fit: missing {missing}, unexpected {unexpected}.")
    return encoder
