"""The models that are measured: ComfyUI's own classes at true size on the meta device, so that their layers are the real ones.

Nothing here has weights. A layer is measured once for each kind and counted as often as the model has it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch

import comfy.supported_models
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, Upsample
from comfy.model_patcher import ModelPatcher

from ...ipadapter_core.patchers.families.flux import INSIDE
from ...ipadapter_core.patchers.families.unet import layer_map
from ...ipadapter_core.sampling.application import Block

_UNET = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "use_spatial_transformer": True,
         "legacy": False, "use_temporal_attention": False}  # fmt: skip
_SD15 = _UNET | {
    "channel_mult": [1, 2, 4, 4], "num_res_blocks": [2] * 4, "transformer_depth": [1] * 6 + [0] * 2,
    "transformer_depth_output": [1] * 9 + [0] * 3, "transformer_depth_middle": 1, "context_dim": 768, "num_heads": 8,
    "num_head_channels": -1, "use_linear_in_transformer": False, "adm_in_channels": None,
}  # fmt: skip
_SDXL = _UNET | {
    "channel_mult": [1, 2, 4], "num_res_blocks": [2] * 3, "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10, "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "context_dim": 2048,
    "num_heads": -1, "num_head_channels": 64, "use_linear_in_transformer": True, "adm_in_channels": 2816,
    "num_classes": "sequential",
}  # fmt: skip
_FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 768, "context_in_dim": 4096,
    "hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24, "depth": 19, "depth_single_blocks": 38,
    "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
MODELS = {
    "SD1.5": (comfy.supported_models.SD15, _SD15),
    "SDXL": (comfy.supported_models.SDXL, _SDXL),
    "FLUX": (comfy.supported_models.Flux, _FLUX),
}
FLUX_TEXT, CLIP_TEXT = 512, 77


class Layer(NamedTuple):
    """One kind of layer: where the first of it is, its width and heads, its token grid, text tokens, how many there are."""

    block: Block
    width: int
    heads: int
    grid: tuple[int, int]
    text: int
    copies: int

    @property
    def tokens(self) -> int:
        """How many latent tokens there are."""
        return self.grid[0] * self.grid[1]

    @property
    def name(self) -> str:
        """Short, for tables."""
        return f"{self.block[0]} {self.grid[0]}x{self.grid[1]}x{self.width}"


@dataclass(frozen=True)
class Scene:
    """A model at a size of the picture; `passes` of guidance run together."""

    model: str
    pixels: int
    passes: int

    @property
    def name(self) -> str:
        """Short, for tables."""
        return f"{self.model} {self.pixels}"

    @property
    def latent(self) -> tuple[int, int]:
        """Height and width of the latent."""
        return self.pixels // 8, self.pixels // 8

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The kinds of layers, from the live network."""
        network = model_at_size(self.model).model.diffusion_model
        if self.model == "FLUX":
            grid = (self.latent[0] // 2, self.latent[1] // 2)
            kinds = (
                (("double", 0, INSIDE), len(network.double_blocks)),
                (("single", 0, INSIDE), len(network.single_blocks)),
            )
            return tuple(Layer(block, network.hidden_size, network.num_heads, grid, FLUX_TEXT, n) for block, n in kinds)
        found: dict[tuple, list[Block]] = {}
        depths = unet_levels(network)
        for layer in layer_map(network):
            found.setdefault((layer.width, depths[layer.block[:2]]), []).append(layer.block)
        return tuple(
            Layer(blocks[0], width, _heads(self.model, width), _shrunk(self.latent, level), CLIP_TEXT, len(blocks))
            for (width, level), blocks in found.items()
        )


SCENES = (Scene("SD1.5", 512, 2), Scene("SD1.5", 768, 2), Scene("SDXL", 1024, 2), Scene("FLUX", 1024, 1))


@cache
def model_at_size(name: str) -> ModelPatcher:
    """A patcher over a model of true structure whose parameters are on the meta device."""
    return build(name, torch.device("meta"), torch.float32)


def build(name: str, device: torch.device, dtype: torch.dtype, **changes: Any) -> ModelPatcher:
    """A patcher over ComfyUI's own class; its parameters are not filled."""
    family, sizes = MODELS[name]
    config = family(sizes | changes)
    config.unet_config |= sizes | changes
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, "", device=device)
    place = torch.device("cpu") if device.type == "meta" else device
    return ModelPatcher(model.eval().requires_grad_(False), load_device=place, offload_device=torch.device("cpu"))


def unet_levels(network) -> dict[tuple[str, int], int]:
    """How often the latent was halved where each block of a UNet stands."""
    levels, level = {}, 0
    for number, block in enumerate(network.input_blocks):
        level += any(isinstance(part, Downsample) for part in block)
        levels["input", number] = level
    levels["middle", 0] = level
    for number, block in enumerate(network.output_blocks):
        levels["output", number] = level
        level -= any(isinstance(part, Upsample) for part in block)
    return levels


def _heads(model: str, width: int) -> int:
    return 8 if model == "SD1.5" else width // 64


def _shrunk(latent: tuple[int, int], level: int) -> tuple[int, int]:
    return -(-latent[0] // 2**level), -(-latent[1] // 2**level)
