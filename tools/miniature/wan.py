"""Wan in miniature: what ComfyUI's own classes are given."""

from typing import Any

import comfy.supported_models

BLOCKS, WIDTH, TEXT = 4, 128, 64
WAN: dict[str, Any] = {
    "image_model": "wan2.1", "model_type": "t2v", "dim": WIDTH, "ffn_dim": 256, "freq_dim": 64, "text_dim": TEXT, "in_dim": 16,
    "out_dim": 16, "num_heads": 2, "num_layers": BLOCKS, "patch_size": (1, 2, 2), "window_size": (-1, -1), "qk_norm": True,
    "cross_attn_norm": True, "eps": 1e-6,
}  # fmt: skip
WAN_MODELS: dict[str, Any] = {
    "Wan": (comfy.supported_models.WAN21_T2V, WAN),
    "Wan i2v": (comfy.supported_models.WAN21_I2V, WAN | {"model_type": "i2v"}),
    "Wan VACE": (comfy.supported_models.WAN21_Vace, WAN | {"model_type": "vace", "vace_layers": 2, "vace_in_dim": 96}),
}
CLIP_TOKENS, CLIP_WIDTH = 9, 1280  # of an image's own tokens in image-to-video models
