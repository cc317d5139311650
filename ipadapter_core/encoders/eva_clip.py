"""EVA02-CLIP, which neither ComfyUI nor transformers loads: the hidden states and the pooled vector that PuLID reads.

Source: baaivision/EVA, EVA-CLIP, eva_vit_model.py and rope.py, as in ToTheBeginning/PuLID (1aa2fc7), eva_clip.
"""

import math
import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

import comfy.clip_model
import comfy.model_management
from comfy.clip_vision import Output

from ..checkpoint.formats import depth
from ..checkpoint.pulid_formats import STATES
from ..checkpoint.spec import Shapes
from ..host import Operations
from ..limits import ENCODER_DEPTH
from .hugging_face import CLIP_MEAN, CLIP_STD
from .vision_tower import TowerEncoder, behind_the_class, built, frequencies, turned_attention, visual_part

MODEL_TYPE = "eva_clip_vision_model"
EPSILON = 1e-6
TRAINED_SIDE = 16  # patches a side when the rotation was chosen: other grids are spread over as many places
SIGNATURE = re.compile(r"(?:visual\.)?blocks\.0\.attn\.inner_attn_ln\.weight")


def is_eva_clip(shapes: Shapes) -> bool:
    """Whether key names are those of an EVA02-CLIP model with norms inside, with or without its text part."""
    return any(SIGNATURE.fullmatch(key) for key in shapes)


def grid_angles(side: int, device: torch.device) -> Tensor:
    """The angles (1 + side^2, 32) of a square grid: the first half by row, the second by column; 0 for the class."""
    places = torch.outer(torch.arange(side, device=device) / side * TRAINED_SIDE, frequencies(device))
    return behind_the_class(places[:, None].expand(-1, side, -1), places.expand(side, -1, -1))


class EvaAttention(nn.Module):
    """Self-attention with turned queries and keys, and a norm before its projection."""

    def __init__(self, width: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (
            operations.Linear(width, width, bias=False, **options) for _ in range(3)
        )
        self.q_bias, self.v_bias = (nn.Parameter(torch.empty(width, **options)) for _ in range(2))
        self.inner_attn_ln = operations.LayerNorm(width, eps=EPSILON, **options)
        self.proj = operations.Linear(width, width, **options)

    def forward(self, tokens: Tensor, angles: Tensor) -> Tensor:
        """tokens (B, L, D), angles (L, 32) -> (B, L, D)."""
        query, value = self.q_proj(tokens) + self.q_bias.to(tokens), self.v_proj(tokens) + self.v_bias.to(tokens)
        return self.proj(self.inner_attn_ln(turned_attention(query, self.k_proj(tokens), value, angles)))


class EvaBlock(nn.Module):
    """Attention and a gated network, each after a norm."""

    def __init__(self, width: int, hidden: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = (operations.LayerNorm(width, eps=EPSILON, **options) for _ in range(2))
        self.attn = EvaAttention(width, operations, **options)
        self.mlp = nn.ModuleDict(
            {
                "w1": operations.Linear(width, hidden, **options),
                "w2": operations.Linear(width, hidden, **options),
                "ffn_ln": operations.LayerNorm(hidden, eps=EPSILON, **options),
                "w3": operations.Linear(hidden, width, **options),
            }
        )

    def forward(self, tokens: Tensor, angles: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        tokens = tokens + self.attn(self.norm1(tokens), angles)
        normed = self.norm2(tokens)
        gated = silu(self.mlp["w1"](normed)) * self.mlp["w2"](normed)
        return tokens + self.mlp["w3"](self.mlp["ffn_ln"](gated))


class EvaTransformer(nn.Module):
    """The vision tower; parameter names are the published file's below `visual.`."""

    def __init__(self, shapes: Shapes, operations: Operations, **options: Any) -> None:
        super().__init__()
        width, _, self.patch, _ = shapes["patch_embed.proj.weight"]
        places = shapes["pos_embed"][1]
        self.side = math.isqrt(places - 1)
        count = depth(shapes, "blocks.", ENCODER_DEPTH)
        self.states = tuple(number * count // (STATES + 1) for number in range(1, STATES + 1))
        self.cls_token = nn.Parameter(torch.empty(1, 1, width, **options))
        self.pos_embed = nn.Parameter(torch.empty(1, places, width, **options))
        patches = operations.Conv2d(3, width, self.patch, stride=self.patch, **options)
        self.patch_embed = nn.ModuleDict({"proj": patches})
        hidden = shapes["blocks.0.mlp.w1.weight"][0]
        self.blocks = nn.ModuleList(EvaBlock(width, hidden, operations, **options) for _ in range(count))
        self.norm = operations.LayerNorm(width, eps=EPSILON, **options)
        self.head = operations.Linear(width, shapes["head.weight"][0], **options)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) -> last hidden states (B, L, D), pooled (B, E), and what enters five blocks (B, 5, L, D)."""
        patches = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.cls_token.to(patches).expand(len(patches), -1, -1), patches), dim=1)
        tokens = tokens + self.pos_embed.to(patches)
        angles = grid_angles(self.side, tokens.device)
        states: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            if number in self.states:
                states.append(tokens)
            tokens = block(tokens, angles)
        tokens = self.norm(tokens)
        return tokens, self.head(tokens[:, 0]), torch.stack(states, dim=1)


class EvaEncoder(TowerEncoder):
    """EVA02-CLIP behind the interface of ComfyUI's `ClipVisionModel`.

    `inner_hidden_states` (B, 5, L, D) and `inner_pooled` (B, E) are what PuLID reads. There is no `image_embeds`: adapters
    for CLIP ViT-L/14 would take it for theirs.
    """

    model_type = MODEL_TYPE
    image_mean, image_std = CLIP_MEAN, CLIP_STD

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__(EvaTransformer, weights)

    def encode_image(self, image: Tensor, crop: bool = True) -> Output:
        """Images (B, H, W, 3) to outputs; those of the encoder's size are taken as they are, beyond 8 bits."""
        comfy.model_management.load_model_gpu(self.patcher)
        pixels, size = image[..., :3].to(self.load_device).float(), self.image_size
        if tuple(image.shape[1:3]) == (size, size):
            mean, std = (torch.tensor(one, device=pixels.device) for one in (CLIP_MEAN, CLIP_STD))
            pixels = ((pixels - mean) / std).movedim(-1, 1)
        else:
            pixels = comfy.clip_model.clip_preprocess(pixels, size, CLIP_MEAN, CLIP_STD, crop).float()
        with torch.inference_mode():
            found = [one.to(comfy.model_management.intermediate_device()) for one in self.model(pixels)]
        made = Output()
        made["last_hidden_state"], made["inner_pooled"], made["inner_hidden_states"] = found
        return made


def fitted(pictures: Tensor, size: int) -> Tensor:
    """Square images (B, S, S, 3) at another size, bicubic and smoothed, as torchvision resizes them; not clipped."""
    planes = interpolate(pictures.movedim(-1, 1), (size, size), mode="bicubic", antialias=True)
    return planes.movedim(1, -1)


def eva_from_weights(weights: dict[str, Tensor], file: str) -> EvaEncoder:
    """An EVA02-CLIP encoder from its file's tensors, text part or not. Raises `EncoderMismatchError` for a damaged file."""
    own = {key: one for key, one in visual_part(weights).items() if "rope." not in key}
    return built(
        lambda: EvaEncoder(own),
        file,
        "EVA02-CLIP, but is damaged or another model",
        "EVA02_CLIP_L_336_psz14_s6B.pt from huggingface.co/QuanSun/EVA-CLIP",
    )
