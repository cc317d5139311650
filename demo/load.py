"""The demo world's models as ComfyUI serves them, from the files in `weights/`."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import comfy.controlnet
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.utils
from comfy.clip_vision import ClipVisionModel

from .base import new_base_model
from .control import control_net
from .encoder import clip_vision
from .text_encoder import clip

WEIGHTS = Path(__file__).parent / "weights"
BASE_FILE = "demo_world_base.safetensors"
ENCODER_FILE = "demo_world_clip_vision.safetensors"
CONTROL_FILE = "demo_world_controlnet.safetensors"
LORA_FILE = "loras/demo_world_frame.safetensors"
ADAPTER_FILE = "ipadapter/demo_world_ip_adapter.safetensors"
UNET_PREFIX, WORDS_PREFIX = "model.diffusion_model.", "words."


class DemoWorld(NamedTuple):
    """Everything a workflow needs, in the order of the loader node's outputs."""

    model: comfy.model_patcher.ModelPatcher
    clip: comfy.sd.CLIP
    vae: comfy.sd.VAE
    clip_vision: ClipVisionModel
    control_net: comfy.controlnet.ControlNet


def read_weights(file: str, folder: Path = WEIGHTS) -> dict[str, Tensor]:
    """A weight file's tensors in float32; the files hold half precision to be small."""
    path = folder / file
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: train the demo world (python3 dev.py train-demo) or restore the file."
        )
    return {key: value.float() for key, value in comfy.utils.load_torch_file(str(path), safe_load=True).items()}


def below(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose keys start with a prefix, without it."""
    return {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}


def base_model(weights: dict[str, Tensor]) -> comfy.model_patcher.ModelPatcher:
    """The base UNet as a MODEL."""
    model = new_base_model()
    model.diffusion_model.load_state_dict(weights)
    return comfy.model_patcher.CoreModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def load(folder: Path = WEIGHTS) -> DemoWorld:
    """Loads the demo world."""
    base = read_weights(BASE_FILE, folder)
    return DemoWorld(
        base_model(below(UNET_PREFIX, base)),
        clip(below(WORDS_PREFIX, base)),
        comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)}),
        clip_vision(read_weights(ENCODER_FILE, folder)),
        control_net(read_weights(CONTROL_FILE, folder)),
    )
