"""SigLIP vision models of any size with their pooling head, which ComfyUI's own loader leaves behind.

What comes out is a `ClipVisionModel` like any other, so it fits every CLIP_VISION socket.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

import comfy.model_management
import comfy.ops
from comfy.clip_vision import ClipVisionModel, Output

from ..checkpoint.formats import depth
from ..errors import EncoderMismatchError
from ..host import Operations
from ..limits import ENCODER_DEPTH
from ..quoting import listed, quoted

PREFIX = "vision_model."
NAMED = 3  # keys that a message names
HEAD = "vision_model.head."
EPSILON = 1e-6  # of SigLIP's norms; ComfyUI's class has CLIP's 1e-5
HEAD_WIDTHS = {768: 64, 1024: 64, 1152: 72}  # channels of an attention head, by the model's width
SIDES = {
    (14, 27): 384
}  # of the images that patches of a size and as many along a side were trained on, where they leave a rest


class PoolingHead(nn.Module):
    """A learned probe that attends to the last hidden states and passes an MLP: (B, L, E) -> (B, E).

    Source: Zhai et al. 2023, "SigLIP"; transformers' SiglipMultiheadAttentionPoolingHead, whose parameter names these are
    but for the joint input projection.
    """

    def __init__(self, config: dict[str, Any], operations: Operations, **options: Any) -> None:
        super().__init__()
        width: int = config["hidden_size"]
        self.heads: int = config["num_attention_heads"]
        self.probe = nn.Parameter(torch.zeros(1, 1, width, **options))
        self.in_proj = operations.Linear(width, 3 * width, **options)
        self.out_proj = operations.Linear(width, width, **options)
        self.layernorm = operations.LayerNorm(width, eps=EPSILON, **options)
        self.fc1 = operations.Linear(width, config["intermediate_size"], **options)
        self.fc2 = operations.Linear(config["intermediate_size"], width, **options)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, L, E) -> (B, E)."""
        probe = comfy.ops.cast_to_input(self.probe, hidden).expand(hidden.shape[0], -1, -1)
        both = self.in_proj(torch.cat((probe, hidden), dim=1))
        query, key, value = rearrange(both, "B L (K H D) -> K B H L D", K=3, H=self.heads)
        out = scaled_dot_product_attention(query[:, :, :1], key[:, :, 1:], value[:, :, 1:])
        pooled = self.out_proj(rearrange(out, "B H N D -> B N (H D)"))
        hidden = self.fc1(self.layernorm(pooled))
        return (pooled + self.fc2(nn.functional.gelu(hidden, approximate="tanh")))[:, 0]


class SigLIPVisionModel(ClipVisionModel):
    """ComfyUI's SigLIP with `pooler_output` among its outputs where the file has a pooling head."""

    def __init__(self, config: dict[str, Any], pools: bool) -> None:
        with TemporaryDirectory() as folder:  # ComfyUI before 0.24 takes a file's name alone
            file = Path(folder) / "config.json"
            file.write_text(json.dumps(config), encoding="utf-8")
            super().__init__(str(file))
        for module in self.model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = EPSILON
        if pools:
            self.model.head = PoolingHead(
                config, comfy.ops.manual_cast, dtype=self.dtype, device=self.patcher.offload_device
            )

    def encode_image(self, image: Tensor, crop: bool = True) -> Output:
        """Images (B, H, W, 3) to ComfyUI's outputs, with the pooled features (B, E)."""
        output = super().encode_image(image, crop)
        if hasattr(self.model, "head"):
            with torch.inference_mode():
                pooled = self.model.head(output["last_hidden_state"].to(self.load_device))
            output["pooler_output"] = pooled.to(comfy.model_management.intermediate_device())
        return output


def siglip_from_weights(weights: dict[str, Tensor], file: str) -> SigLIPVisionModel:
    """A SigLIP vision model from the `vision_model.*` part of its file. Raises `EncoderMismatchError` if it is damaged."""
    own = {key: tensor for key, tensor in weights.items() if not key.startswith(HEAD)}
    own |= {_head_key(key): tensor for key, tensor in weights.items() if key.startswith(HEAD)}
    encoder = SigLIPVisionModel(_config(weights), pools=f"{HEAD}probe" in weights)
    missing, unknown = encoder.load_sd(own)
    if missing or unknown:
        raise EncoderMismatchError(
            f"{quoted(file)} looks like a SigLIP vision model, but {len(missing)} of its keys are missing and {len(unknown)} "
            f"unknown ({listed(missing + unknown, NAMED)}): download it again or choose another file in Load Image Encoder"
        )
    return encoder


def _head_key(key: str) -> str:
    """`head.attention.in_proj_weight` and its kin to the names of `PoolingHead`."""
    name = key.removeprefix(HEAD).replace("in_proj_", "in_proj.").replace("attention.", "").replace("mlp.", "")
    return f"head.{name}"


def _config(weights: dict[str, Tensor]) -> dict[str, Any]:
    """ComfyUI's description of a SigLIP vision model, all sizes read off the shapes."""
    width, channels, patch, _ = weights[f"{PREFIX}embeddings.patch_embedding.weight"].shape
    positions = weights[f"{PREFIX}embeddings.position_embedding.weight"].shape[0]
    layers = depth(dict.fromkeys(weights, ()), f"{PREFIX}encoder.layers.", ENCODER_DEPTH)
    along = round(positions**0.5)
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": width,
        "num_channels": channels,
        "patch_size": patch,
        "image_size": SIDES.get((patch, along), along * patch),
        "num_hidden_layers": layers,
        "num_attention_heads": width // HEAD_WIDTHS.get(width, 64),
        "intermediate_size": weights[f"{PREFIX}encoder.layers.0.mlp.fc1.weight"].shape[0],
        "hidden_act": "gelu_pytorch_tanh",
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
