"""EVA02-CLIP in miniature: its file's key names with seeded noise, and its equations stated anew."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, layer_norm, linear, silu

WIDTH, SIDE, PATCH, LAYERS, HIDDEN, POOLED = 128, 3, 14, 6, 96, 32
NORMS = ("norm1", "norm2", "attn.inner_attn_ln")


def tiny_eva(seed: int = 4, width: int = WIDTH, pooled: int = POOLED, side: int = SIDE) -> dict[str, Tensor]:
    """A whole file: the vision tower with its tables of rotations, and a part of the text tower."""
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "visual.cls_token": (1, 1, width), "visual.pos_embed": (1, side**2 + 1, width),
        "visual.patch_embed.proj.weight": (width, 3, PATCH, PATCH), "visual.patch_embed.proj.bias": (width,),
        "visual.head.weight": (pooled, width), "visual.head.bias": (pooled,), "visual.rope.freqs_cos": (side**2, 64),
        "text.positional_embedding": (32, 64), "logit_scale": (),
    }  # fmt: skip
    norms = {"visual.norm": width}
    for number in range(LAYERS):
        block = f"visual.blocks.{number}"
        norms |= {f"{block}.{name}": width for name in NORMS} | {f"{block}.mlp.ffn_ln": HIDDEN}
        shapes |= {f"{block}.attn.{part}_proj.weight": (width, width) for part in "qkv"}
        shapes |= {f"{block}.attn.{part}_bias": (width,) for part in "qv"}
        shapes |= {f"{block}.attn.proj.weight": (width, width), f"{block}.attn.proj.bias": (width,),
                   f"{block}.attn.rope.freqs_sin": (side**2, 64)}  # fmt: skip
        for name, (outputs, inputs) in {"w1": (HIDDEN, width), "w2": (HIDDEN, width), "w3": (width, HIDDEN)}.items():
            shapes |= {f"{block}.mlp.{name}.weight": (outputs, inputs), f"{block}.mlp.{name}.bias": (outputs,)}
    weights = {}
    for key, shape in shapes.items():
        size = math.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.3
        weights[key] = torch.randn(shape, generator=generator) * size
    for name, size in norms.items():
        weights |= {f"{name}.{part}": torch.randn(size, generator=generator) * 0.1 for part in ("weight", "bias")}
        weights[f"{name}.weight"] += 1
    return weights


class Stated(NamedTuple):
    """Last hidden states, the pooled vector, and what enters the blocks 1 to 5 of six."""

    last: Tensor
    pooled: Tensor
    states: Tensor


def stated_turns(side: int) -> Tensor:
    """What the channels of each token are turned by, (1 + side * side, 32), as complex numbers."""
    turns = torch.ones(side**2 + 1, 32, dtype=torch.complex128)
    for row in range(side):
        for column in range(side):
            for channel in range(16):
                speed = 10000.0 ** (-2 * channel / 32) * 16 / side
                for first, place in ((0, row), (16, column)):
                    angle = place * speed
                    turns[1 + row * side + column, first + channel] = complex(math.cos(angle), math.sin(angle))
    return turns


def stated(weights: dict[str, Tensor], pixels: Tensor) -> Stated:
    """The outputs for normalised pixels (B, 3, S, S) in float64: rotations as products of complex numbers.

    Sun et al. 2023, "EVA-CLIP"; baaivision/EVA, eva_vit_model.py. Rows turn the first half of a head's channels, columns
    the second; a grid of any side is spread over 16 places.
    """
    part = {key.removeprefix("visual."): one.double() for key, one in weights.items() if key.startswith("visual.")}
    width, side = part["cls_token"].shape[-1], math.isqrt(part["pos_embed"].shape[1] - 1)
    patches = conv2d(pixels.double(), part["patch_embed.proj.weight"], part["patch_embed.proj.bias"], stride=PATCH)
    tokens = torch.cat((part["cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).mT), 1) + part["pos_embed"]
    turns = stated_turns(side)

    def norm(name, x):
        return layer_norm(x, x.shape[-1:], part[f"{name}.weight"], part[f"{name}.bias"], 1e-6)

    def layer(name, x):
        return linear(x, part[f"{name}.weight"], part[f"{name}.bias"])

    def heads(x):
        return x.unflatten(-1, (width // 64, 64)).transpose(1, 2)

    def turned(x):
        return torch.view_as_real(torch.view_as_complex(heads(x).unflatten(-1, (32, 2))) * turns).flatten(-2)

    states = []
    for number in range(LAYERS):
        states.append(tokens)
        name = f"blocks.{number}"
        x = norm(f"{name}.norm1", tokens)
        query = turned(x @ part[f"{name}.attn.q_proj.weight"].T + part[f"{name}.attn.q_bias"])
        key = turned(x @ part[f"{name}.attn.k_proj.weight"].T)
        value = heads(x @ part[f"{name}.attn.v_proj.weight"].T + part[f"{name}.attn.v_bias"])
        out = ((query @ key.mT / 8).softmax(-1) @ value).transpose(1, 2).flatten(2)
        tokens = tokens + layer(f"{name}.attn.proj", norm(f"{name}.attn.inner_attn_ln", out))
        x = norm(f"{name}.norm2", tokens)
        gated = silu(layer(f"{name}.mlp.w1", x)) * layer(f"{name}.mlp.w2", x)
        tokens = tokens + layer(f"{name}.mlp.w3", norm(f"{name}.mlp.ffn_ln", gated))
    last = norm("norm", tokens)
    return Stated(last, layer("head", last[:, 0]), torch.stack(states[1:], dim=1))
