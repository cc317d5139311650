"""The same checkpoint and the same adapter file in diffusers, called with what ComfyUI's network was called with."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import logging
from torch import Tensor

import comfy.utils

from ...ipadapter_core.checkpoint.enums import BaseModel, ProjectorKind
from ...ipadapter_core.checkpoint.spec import AdapterSpec
from ...ipadapter_core.prompt.image_prompt import ImagePrompt
from .found import Checkpoint
from .sampling import Call

COMPARED = (ProjectorKind.LINEAR, ProjectorKind.MLP, ProjectorKind.RESAMPLER, ProjectorKind.FACE)
UNETS = (BaseModel.SD15, BaseModel.SDXL)
POOLED, TIME = 1280, 256  # channels of SDXL's text vector, and of the embedding of each of its six sizes


def why_not(checkpoint: Checkpoint, spec: AdapterSpec) -> str | None:
    """A sentence where diffusers has nothing to compare with, or takes other files."""
    if checkpoint.base not in UNETS:
        return f"diffusers is not compared for {checkpoint.base.value}"
    if not checkpoint.whole:
        return "diffusers reads a UNet from a whole checkpoint alone"
    if spec.projector.kind not in COMPARED:
        return f"diffusers has no {spec.projector.kind.value} projector in this layout"
    return None


class Reference:
    """diffusers' UNet from a checkpoint file, and its IP-Adapter from an adapter file."""

    def __init__(self, checkpoint: Checkpoint, sizes: dict[str, Any], device: torch.device, dtype: torch.dtype):
        logging.set_verbosity_error()  # it warns of every move to a device
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(config(sizes)), encoding="utf-8")
            given = {"config": folder, "torch_dtype": dtype, "local_files_only": True}
            self.unet = UNet2DConditionModel.from_single_file(str(checkpoint.path), **given).to(device).eval()
        self.device, self.dtype = device, dtype

    def attach(self, adapter: Path, weight: float) -> None:
        """The file as it is, through diffusers' own reader of its tensors."""
        self.unet._load_ip_adapter_weights([_nested(adapter, self.dtype)], low_cpu_mem_usage=False)
        self.unet.to(self.device)
        for processor in self.unet.attn_processors.values():
            if hasattr(processor, "scale"):
                processor.scale = [weight]

    def output(self, call: Call, pixels: int, prompt: ImagePrompt | None) -> Tensor:
        """What its UNet returns for the same inputs."""
        added: dict[str, Any] = {}
        if call.pooled is not None:
            sizes = torch.tensor([[pixels, pixels, 0, 0, pixels, pixels]], dtype=self.dtype, device=self.device)
            added = {
                "text_embeds": call.pooled[:, :POOLED].to(self.dtype),
                "time_ids": sizes.repeat(len(call.latent), 1),
            }
        if prompt is not None:
            image = prompt.references[0].image
            features = [image.negative if index else image.features for index in call.passes]
            added["image_embeds"] = [torch.stack([one.to(self.device, self.dtype) for one in features])]
        with torch.no_grad():
            return self.unet(call.latent, call.timestep, call.text.to(self.dtype), added_cond_kwargs=added).sample


def config(sizes: dict[str, Any]) -> dict[str, Any]:
    """diffusers' sizes of a UNet, from those that ComfyUI has found in the file."""
    channels = [sizes["model_channels"] * factor for factor in sizes["channel_mult"]]
    blocks = sizes["num_res_blocks"][0]
    depths = sizes["transformer_depth"][::blocks]
    heads = [sizes["num_heads"]] * len(channels)
    if sizes.get("num_head_channels", -1) > 0:
        heads = [width // sizes["num_head_channels"] for width in channels]
    names = [("CrossAttn" if depth else "", index) for index, depth in enumerate(depths)]
    found = {
        "_class_name": "UNet2DConditionModel",
        "in_channels": sizes["in_channels"],
        "out_channels": sizes["out_channels"],
        "layers_per_block": blocks,
        "block_out_channels": channels,
        "attention_head_dim": heads,
        "cross_attention_dim": sizes["context_dim"],
        "down_block_types": [f"{kind}DownBlock2D" for kind, _ in names],
        "up_block_types": [f"{kind}UpBlock2D" for kind, _ in reversed(names)],
        "transformer_layers_per_block": [max(depth, 1) for depth in depths],
        "use_linear_projection": sizes["use_linear_in_transformer"],
    }
    if sizes.get("adm_in_channels"):
        found |= {"addition_embed_type": "text_time", "addition_time_embed_dim": TIME}
        found |= {"projection_class_embeddings_input_dim": sizes["adm_in_channels"]}
    return found


def _nested(path: Path, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """A file's tensors by part, as a .bin has them and diffusers takes them."""
    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    if "image_proj" in weights:
        return {
            part: {key: one.to(dtype) for key, one in weights[part].items()} for part in ("image_proj", "ip_adapter")
        }
    split: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in weights.items():
        part, name = key.split(".", 1)
        split[part][name] = tensor.to(dtype)
    return split
