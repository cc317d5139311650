"""A transformers vision model as an image encoder of ComfyUI; `folder.py` and `clip_file.py` make them, from disk only."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import comfy.clip_model
import comfy.model_management
import comfy.model_patcher
from comfy.clip_vision import Output

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)  # SigLIP's mean and deviation
STRETCH_IF_ASKED = ("clip_vision_model", "siglip_vision_model")  # whose positions transformers stretches on request


class Preparation(NamedTuple):
    """What an encoder wants of an image: the side of its square, and the colours' mean and deviation."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Network(nn.Module):
    """A transformers vision model that is called like ComfyUI's: `(pixel_values, intermediate_output)`."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor, intermediate_output: int | str = -2) -> tuple[Tensor, Tensor, Tensor, None]:
        """(B, 3, S, S) -> last hidden states, those of the wanted layer or of all, pooled, nothing."""
        dtype = next(self.network.parameters()).dtype
        config = self.network.config
        other = pixel_values.shape[-1] != config.image_size and config.model_type in STRETCH_IF_ASKED
        further = {"interpolate_pos_encoding": True} if other else {}
        out = self.network(pixel_values=pixel_values.to(dtype), output_hidden_states=True, **further)
        states = out.hidden_states
        wanted = torch.stack(states, dim=1) if intermediate_output == "all" else states[int(intermediate_output)]
        pooled = getattr(out, "image_embeds", None)
        pooled = out.pooler_output if pooled is None else pooled
        return out.last_hidden_state.float(), wanted.float(), pooled.float(), None


class HuggingFaceEncoder:
    """A transformers vision model behind the interface of ComfyUI's `ClipVisionModel`, its memory managed by ComfyUI.

    `image_embeds` is what the model pools: CLIP's projected class token, SigLIP's attention pooling. With `style`, it is
    also given as `style_embeds`, of length one.
    """

    def __init__(self, network: Any, preparation: Preparation, style: bool = False) -> None:
        self.model_type: str = network.config.model_type
        self.image_size, self.image_mean, self.image_std = preparation
        self.style = style
        self.load_device = comfy.model_management.text_encoder_device()
        offload_device = comfy.model_management.text_encoder_offload_device()
        self.model = Network(network).eval().requires_grad_(False).to(offload_device)
        self.dtype = next(network.parameters()).dtype
        # the plain patcher: transformers' layers cannot stream their weights
        self.patcher = comfy.model_patcher.ModelPatcher(self.model, self.load_device, offload_device)

    def encode_image(self, image: Tensor, crop: bool = True) -> Output:
        """Images (B, H, W, 3) to the outputs that ComfyUI's encoders have."""
        comfy.model_management.load_model_gpu(self.patcher)
        pixels = comfy.clip_model.clip_preprocess(
            image.to(self.load_device), size=self.image_size, mean=self.image_mean, std=self.image_std, crop=crop
        ).float()
        with torch.inference_mode():
            last, states, pooled, _ = self.model(pixel_values=pixels, intermediate_output="all")
        device = comfy.model_management.intermediate_device()
        made = Output()
        made["last_hidden_state"], made["image_embeds"] = last.to(device), pooled.to(device)
        made["penultimate_hidden_states"] = states[:, -2].to(device)
        made["pooler_output"] = made["image_embeds"]
        made["all_hidden_states"] = states.to(device)
        made["image_sizes"], made["mm_projected"] = [pixels.shape[1:]] * len(pixels), None
        if self.style:
            made["style_embeds"] = nn.functional.normalize(made["image_embeds"], dim=-1)
        return made
