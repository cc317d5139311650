"""Kolors' UNet in ComfyUI, which has no loader for it: diffusers' file under SDXL's class, with Kolors' own text projection.

Source: Kwai-Kolors/Kolors, unet/config.json and kolors/pipelines/pipeline_stable_diffusion_xl_chatglm_256.py.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

import comfy.model_management
import comfy.supported_models
import comfy.utils
from comfy.model_patcher import CoreModelPatcher, ModelPatcher

from ...ipadapter_core.checkpoint.spec import Shapes

TEXT = "encoder_hid_proj.weight"
CONDITIONS = "add_embedding.linear_1.weight"
POOLED = 4096  # channels of the text's vector
LEVELS = (0, 1, 2)


def is_kolors(shapes: Shapes) -> bool:
    """Whether this is diffusers' file of a UNet with a projection for another text encoder."""
    return {"conv_in.weight", TEXT, CONDITIONS} <= shapes.keys()


def sizes_of(shapes: Shapes) -> dict[str, Any]:
    """ComfyUI's sizes of such a UNet."""
    channels = shapes["conv_in.weight"][0]
    blocks = "down_blocks.{}.resnets.{}.conv1.weight"
    depths = [_count(shapes, f"down_blocks.{level}.attentions.0.transformer_blocks.") for level in LEVELS]
    per_level = _count(shapes, "down_blocks.0.resnets.")
    return {
        "image_size": 32, "use_spatial_transformer": True, "legacy": False, "num_classes": "sequential",
        "in_channels": shapes["conv_in.weight"][1], "out_channels": shapes["conv_out.weight"][0],
        "model_channels": channels, "num_res_blocks": [per_level] * len(LEVELS), "num_head_channels": 64, "num_heads": -1,
        "channel_mult": [shapes[blocks.format(level, 0)][0] // channels for level in LEVELS],
        "transformer_depth": [depth for depth in depths for _ in range(per_level)],
        "transformer_depth_output": [depth for depth in depths for _ in range(per_level + 1)],
        "transformer_depth_middle": _count(shapes, "mid_block.attentions.0.transformer_blocks."),
        "use_linear_in_transformer": True, "context_dim": shapes[TEXT][0], "adm_in_channels": shapes[CONDITIONS][1],
        "use_temporal_attention": False, "use_temporal_resblock": False,
    }  # fmt: skip


def load(path: Path, dtype: torch.dtype) -> ModelPatcher:
    """The model over ComfyUI's own UNet class, as the packs that bring Kolors build it."""
    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    sizes = sizes_of({key: tuple(one.shape) for key, one in weights.items()})
    settings = comfy.supported_models.SDXL(sizes)
    settings.unet_config |= sizes
    settings.set_inference_dtype(dtype, None)
    device = comfy.model_management.get_torch_device()
    model = settings.get_model({}, "", device=device)
    names = comfy.utils.unet_to_diffusers(sizes)
    model.diffusion_model.load_state_dict(
        {ours: weights[theirs].to(dtype) for theirs, ours in names.items() if theirs in weights}
    )
    projection = nn.Linear(*reversed(weights[TEXT].shape), dtype=dtype, device=device).requires_grad_(False)
    projection.load_state_dict(
        {key.rsplit(".", 1)[1]: weights[key].to(dtype) for key in (TEXT, TEXT.replace("weight", "bias"))}
    )
    model.diffusion_model.encoder_hid_proj = projection
    model.diffusion_model.register_forward_pre_hook(_project, with_kwargs=True)
    return CoreModelPatcher(model.eval(), load_device=device, offload_device=torch.device("cpu"))


def _project(
    network: nn.Module, args: tuple[Any, ...], given: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Kolors' text is projected before the UNet's first layer."""
    projection: nn.Linear = network.encoder_hid_proj  # type: ignore[assignment]
    return args, given | {"context": projection(given["context"].to(projection.weight))}


def _count(shapes: Shapes, prefix: str) -> int:
    return len({key[len(prefix) :].split(".", 1)[0] for key in shapes if key.startswith(prefix)})
