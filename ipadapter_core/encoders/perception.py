"""Meta's Perception Encoder (PE-Core), which neither ComfyUI nor transformers loads by itself: its last hidden states.

Source: facebookresearch/perception_models, core/vision_encoder/pe.py and rope.py (Bolya et al. 2025, arXiv 2504.13181).
"""

import math
import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear

import comfy.clip_model
import comfy.model_management
from comfy.clip_vision import Output

from ..checkpoint.formats import depth
from ..checkpoint.spec import Shapes
from ..host import Operations
from ..limits import ENCODER_DEPTH
from .vision_tower import TowerEncoder, behind_the_class, built, frequencies, turned_attention, visual_part

MODEL_TYPE = "perception_vision_model"
HALF = (0.5, 0.5, 0.5)  # its mean and deviation
SIGNATURE = re.compile(r"(?:module\.)?(?:visual\.)?attn_pool\.probe")  # CLIP has no pooling head
UNUSED = ("attn_pool.", "proj")  # what makes a caption's vector of the hidden states
# patches down and across that every image is fitted to: about as many as the square that the model was trained on
BUCKETS = ((34, 17), (29, 20), (28, 21), (24, 24), (21, 28), (20, 29), (17, 34))


def is_perception(shapes: Shapes) -> bool:
    """Whether key names are those of a PE-Core model, with or without its text part."""
    return any(SIGNATURE.fullmatch(key) for key in shapes)


class RotaryAttention(nn.Module):
    """Self-attention whose queries and keys are turned by their place in the grid."""

    def __init__(self, width: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width, **options))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width, **options))
        self.out_proj = operations.Linear(width, width, **options)

    def forward(self, tokens: Tensor, angles: Tensor) -> Tensor:
        """tokens (B, L, D), angles (L, 32) -> (B, L, D)."""
        joint = linear(tokens, self.in_proj_weight.to(tokens), self.in_proj_bias.to(tokens))
        query, key, value = joint.chunk(3, -1)
        return self.out_proj(turned_attention(query, key, value, angles))


def grid_angles(rows: int, columns: int, device: torch.device) -> Tensor:
    """The angles (1 + rows * columns, 32) of a grid: half of them by column, half by row, both from 1; 0 for the class."""
    across, down = (
        torch.outer(torch.arange(count, device=device) + 1, frequencies(device)) for count in (columns, rows)
    )
    return behind_the_class(across.expand(rows, -1, -1), down[:, None].expand(-1, columns, -1))


class PerceptionBlock(nn.Module):
    """Attention and two layers, each after a norm."""

    def __init__(self, width: int, hidden: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.ln_1 = operations.LayerNorm(width, **options)
        self.attn = RotaryAttention(width, operations, **options)
        self.ln_2 = operations.LayerNorm(width, **options)
        self.mlp = nn.ModuleDict(
            {"c_fc": operations.Linear(width, hidden, **options), "c_proj": operations.Linear(hidden, width, **options)}
        )

    def forward(self, tokens: Tensor, angles: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        tokens = tokens + self.attn(self.ln_1(tokens), angles)
        return tokens + self.mlp["c_proj"](nn.functional.gelu(self.mlp["c_fc"](self.ln_2(tokens))))


class PerceptionTransformer(nn.Module):
    """The vision tower without its pooling head; parameter names are the published file's."""

    def __init__(self, shapes: Shapes, operations: Operations, **options: Any) -> None:
        super().__init__()
        width, _, self.patch, _ = shapes["conv1.weight"]
        places = shapes["positional_embedding"][0]
        self.side = math.isqrt(places - 1)
        blocks_there = depth(shapes, "transformer.resblocks.", ENCODER_DEPTH)
        hidden = shapes["transformer.resblocks.0.mlp.c_fc.weight"][0]
        self.conv1 = operations.Conv2d(3, width, self.patch, stride=self.patch, bias=False, **options)
        self.class_embedding = nn.Parameter(torch.empty(width, **options))
        self.positional_embedding = nn.Parameter(torch.empty(places, width, **options))
        self.ln_pre, self.ln_post = (operations.LayerNorm(width, **options) for _ in range(2))
        blocks = nn.ModuleList(PerceptionBlock(width, hidden, operations, **options) for _ in range(blocks_there))
        self.transformer = nn.ModuleDict({"resblocks": blocks})

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> last hidden states (B, 1 + rows * columns, D), the class token first."""
        patches = self.conv1(pixels)
        rows, columns = patches.shape[-2:]
        first = self.class_embedding.to(patches).expand(len(patches), 1, -1)
        tokens = torch.cat((first, patches.flatten(2).transpose(1, 2)), dim=1) + self._places(rows, columns, patches)
        tokens, angles = self.ln_pre(tokens), grid_angles(rows, columns, patches.device)
        for block in self.transformer["resblocks"].children():
            tokens = block(tokens, angles)
        return self.ln_post(tokens)

    def _places(self, rows: int, columns: int, like: Tensor) -> Tensor:
        """The position table (1 + rows * columns, D), stretched from the square that it was trained on."""
        table = self.positional_embedding.to(like)
        if (rows, columns) == (self.side, self.side):
            return table
        grid = torch.unflatten(table[1:].T, 1, (self.side, self.side)).unsqueeze(0)
        grid = interpolate(grid, size=(rows, columns), mode="bilinear", align_corners=False)
        return torch.cat((table[:1], grid[0].flatten(1).T))


class PerceptionEncoder(TowerEncoder):
    """PE-Core behind the interface of ComfyUI's `ClipVisionModel`; `perception_features` are its last hidden states.

    `shapes` are the sizes in pixels (height, width) that images are fitted to, by their aspect.
    """

    model_type = MODEL_TYPE
    image_mean, image_std = HALF, HALF

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__(PerceptionTransformer, weights)
        square = self.model.side**2 / 24**2  # the published model's square has 24 patches a side
        patches = ((round(rows * square**0.5), round(columns * square**0.5)) for rows, columns in BUCKETS)
        self.shapes = tuple((rows * self.model.patch, columns * self.model.patch) for rows, columns in patches)

    def encode_image(self, image: Tensor, crop: bool = True) -> Output:
        """Images (B, H, W, 3) of one of `shapes` to ComfyUI's outputs; those of any other size become the square."""
        comfy.model_management.load_model_gpu(self.patcher)
        pixels = image.to(self.load_device)
        if tuple(image.shape[1:3]) in self.shapes:
            pixels = pixels[..., :3].movedim(-1, 1).float() * 2 - 1
        else:
            pixels = comfy.clip_model.clip_preprocess(pixels, self.image_size, HALF, HALF, crop).float()
        with torch.inference_mode():
            hidden = self.model(pixels)
        made = Output()
        made["perception_features"] = made["last_hidden_state"] = hidden.to(
            comfy.model_management.intermediate_device()
        )
        return made


def perception_from_weights(weights: dict[str, Tensor], file: str) -> PerceptionEncoder:
    """A PE-Core encoder from its file's tensors, text part or not. Raises `EncoderMismatchError` for a damaged file."""
    visual = visual_part({key.removeprefix("module."): tensor for key, tensor in weights.items()})
    own = {key: tensor for key, tensor in visual.items() if not key.startswith(UNUSED)}
    return built(
        lambda: PerceptionEncoder(own),
        file,
        "a Perception Encoder, but is not PE-Core L, B or S",
        "PE-Core-L14-336.pt from huggingface.co/facebook/PE-Core-L14-336",
    )
