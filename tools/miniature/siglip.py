"""A SigLIP vision model of any size."""

import torch
from pack.ipadapter_core.encoders.siglip import siglip_from_weights
from pack.tools.miniature.models import randomise
from transformers import SiglipVisionConfig, SiglipVisionModel

SIZES = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 64,
         "patch_size": 16}  # fmt: skip


def in_half(model):
    """Weights that float16 can hold, which is what ComfyUI keeps encoders in."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model


def siglip():
    """transformers' SigLIP and ours, on the same weights under the file's names."""
    theirs = in_half(randomise(SiglipVisionModel(SiglipVisionConfig(**SIZES)), 3))
    weights = {}
    for key, tensor in theirs.state_dict().items():
        weights[key if key.startswith("vision_model.") else f"vision_model.{key}"] = tensor
    return theirs, siglip_from_weights(weights, "tiny.safetensors")
