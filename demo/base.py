"""The demo's base model: ComfyUI's own UNet class, small, in pixels, with ComfyUI's own flow sampling."""

from typing import Any

import torch
from torch import nn

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.supported_models_base

from .words import CONTEXT_WIDTH

UNET: dict[str, Any] = {
    "image_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "model_channels": 64,
    "channel_mult": [1, 1, 1, 2],
    "num_res_blocks": [0, 1, 1, 1],
    "transformer_depth": [0, 1, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1],
    "context_dim": CONTEXT_WIDTH,
    "num_heads": 4,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "legacy": False,
}


class DemoWorldConfig(comfy.supported_models_base.BASE):
    """What ComfyUI knows about the model: a flow model in the "pixel_space" VAE's range."""

    unet_config: dict[str, Any] = {}
    unet_extra_config: dict[str, Any] = {}
    sampling_settings = {"shift": 2.0}  # more of the steps go where shapes are decided
    latent_format = comfy.latent_formats.ChromaRadiance
    memory_usage_factor = 0.1

    def model_type(self, state_dict: dict[str, Any], prefix: str = "") -> comfy.model_base.ModelType:
        """Flow matching."""
        return comfy.model_base.ModelType.FLOW

    def inpaint_model(self) -> bool:
        """Three channels in, but not the kind of inpainting model that this would mean for four."""
        return False


def initialise(model: nn.Module) -> None:
    """Fills ComfyUI's modules, which come uninitialised, the way torch does."""
    kinds = (nn.Linear, nn.Conv2d, nn.Embedding, nn.GroupNorm, nn.LayerNorm)
    for module in model.modules():
        for kind in kinds:
            if isinstance(module, kind):
                kind.reset_parameters(module)  # ComfyUI's subclass overrides it with nothing


def initialise_unet(unet: nn.Module) -> None:
    """As torch does, but every residual branch begins at zero."""
    initialise(unet)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if ".out_layers.3." in name or ".proj_out." in name or name.startswith("out.2."):
                parameter.zero_()


def new_base_model() -> comfy.model_base.BaseModel:
    """The base model with its weights not yet filled."""
    config = DemoWorldConfig(UNET)
    config.set_inference_dtype(torch.float32, None)
    return config.get_model({}, "", device=comfy.model_management.unet_offload_device())
