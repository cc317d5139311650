"""A ControlNet for the short model."""

import torch
from pack.tests.oracles.recorded_passes import SHORT
from pack.tools.miniature.models import SD15_UNET, randomise

import comfy.cldm.cldm
import comfy.controlnet


def control_net():
    """A ControlNet of ComfyUI's own class, on the short model's structure."""
    sizes = {key: value for key, value in (SD15_UNET | SHORT).items() if key not in ("out_channels", "image_size")}
    network = comfy.cldm.cldm.ControlNet(image_size=32, hint_channels=3, dtype=torch.float32, **sizes)
    return comfy.controlnet.ControlNet(randomise(network, 6), load_device=torch.device("cpu"))
