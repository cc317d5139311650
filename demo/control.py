"""The demo's ControlNet: ComfyUI's own class, with a hint block for images that are not eight times smaller inside."""

from typing import Any

import torch
from torch import Tensor, nn

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.ops
from comfy.ldm.modules.diffusionmodules.openaimodel import TimestepEmbedSequential

from .base import UNET


def new_control_model(operations: Any = comfy.ops.disable_weight_init) -> comfy.cldm.cldm.ControlNet:
    """The control model with its weights not yet filled.

    ComfyUI's hint block brings an image of eight times the latent's size down to it; in pixel space both are the same size.
    """
    shape = {key: value for key, value in UNET.items() if key not in ("out_channels", "transformer_depth_output")}
    model = comfy.cldm.cldm.ControlNet(hint_channels=3, dtype=torch.float32, operations=operations, **shape)
    width = UNET["model_channels"]
    model.input_hint_block = TimestepEmbedSequential(
        operations.Conv2d(3, width // 2, 3, padding=1),
        nn.SiLU(),
        operations.Conv2d(width // 2, width, 3, padding=1),
    )
    return model


def control_net(weights: dict[str, Tensor]) -> comfy.controlnet.ControlNet:
    """The ControlNet as ComfyUI serves it; its hint is a white outline on black."""
    model = new_control_model()
    model.load_state_dict(weights)
    return comfy.controlnet.ControlNet(
        model.eval(), compression_ratio=1, load_device=comfy.model_management.get_torch_device()
    )
