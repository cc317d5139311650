"""diffusers' UNets: of SD1.5 and SDXL from a checkpoint, of Kolors from its own file."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import logging
from torch import Tensor

import comfy.utils

from ...ipadapter_core.prompt.image_prompt import ImagePrompt
from . import kolors
from .found import Checkpoint
from .reference import features_of, nested
from .sampling import Call

POOLED, TIME = 1280, 256  # channels of SDXL's text vector, and of the embedding of each of its six sizes


class UNetReference:
    """diffusers' UNet from a checkpoint file, and its IP-Adapter from an adapter file."""

    pooled = POOLED

    def __init__(self, checkpoint: Checkpoint, sizes: dict[str, Any], device: torch.device, dtype: torch.dtype):
        logging.set_verbosity_error()  # it warns of every move to a device
        self.unet = self._read(checkpoint, sizes, dtype).to(device).eval()
        self.device, self.dtype = device, dtype

    def _read(self, checkpoint: Checkpoint, sizes: dict[str, Any], dtype: torch.dtype) -> UNet2DConditionModel:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(config(sizes)), encoding="utf-8")
            given = {"config": folder, "torch_dtype": dtype, "local_files_only": True}
            return UNet2DConditionModel.from_single_file(str(checkpoint.path), **given)

    def attach(self, adapter: Path, weight: float) -> None:
        """The file as it is, through diffusers' own reader of its tensors."""
        self.unet._load_ip_adapter_weights([nested(adapter, self.dtype)], low_cpu_mem_usage=False)
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
                "text_embeds": call.pooled[:, : self.pooled].to(self.dtype),
                "time_ids": sizes.repeat(len(call.latent), 1),
            }
        if prompt is not None:
            added["image_embeds"] = [self._given(prompt, call)]
        with torch.no_grad():
            return self.unet(call.latent, call.timestep, call.text.to(self.dtype), added_cond_kwargs=added).sample

    def _given(self, prompt: ImagePrompt, call: Call) -> Tensor:
        """The features of each row; what an identity brings along goes to the projector itself, as in diffusers' pipelines."""
        rows = features_of(prompt, call)
        if not isinstance(rows[0], tuple):
            return torch.stack([one.to(self.device, self.dtype) for one in rows])
        identity, appearance, blend = (
            torch.stack(part).to(self.device, self.dtype) for part in zip(*rows, strict=True)
        )
        projector = self.unet.encoder_hid_proj.image_projection_layers[0]
        own, structure = blend[0, 0].tolist()
        projector.clip_embeds, projector.shortcut, projector.shortcut_scale = appearance, bool(own), structure
        return identity


class KolorsReference(UNetReference):
    """Kolors' UNet, whose file is diffusers' own; the text goes through the projection that lies in it."""

    pooled = kolors.POOLED

    def _read(self, checkpoint: Checkpoint, sizes: dict[str, Any], dtype: torch.dtype) -> UNet2DConditionModel:
        weights = comfy.utils.load_torch_file(str(checkpoint.path), safe_load=True)
        text = {"encoder_hid_dim": weights[kolors.TEXT].shape[1], "encoder_hid_dim_type": "text_proj"}
        unet = UNet2DConditionModel(**{key: one for key, one in config(sizes).items() if key != "_class_name"}, **text)
        unet.load_state_dict(weights)
        return unet.to(dtype)


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
