"""Meta's Perception Encoder in miniature: its file's key names with seeded noise, and its equations stated anew."""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, interpolate, layer_norm, linear

WIDTH, SIDE, PATCH, LAYERS = 128, 4, 14, 3


def tiny_perception(seed: int = 3) -> dict[str, Tensor]:
    """A whole PE-Core file: the vision tower with its pooling head, and a part of the text tower."""
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "visual.conv1.weight": (WIDTH, 3, PATCH, PATCH), "visual.class_embedding": (WIDTH,), "visual.proj": (WIDTH, 64),
        "visual.positional_embedding": (SIDE**2 + 1, WIDTH), "visual.attn_pool.probe": (1, 1, WIDTH),
        "positional_embedding": (32, 64), "logit_scale": (),
    }  # fmt: skip
    norms = ["visual.ln_pre", "visual.ln_post"]
    for number in range(LAYERS):
        block = f"visual.transformer.resblocks.{number}"
        norms += [f"{block}.ln_1", f"{block}.ln_2"]
        shapes |= {
            f"{block}.attn.in_proj_weight": (3 * WIDTH, WIDTH), f"{block}.attn.in_proj_bias": (3 * WIDTH,),
            f"{block}.attn.out_proj.weight": (WIDTH, WIDTH), f"{block}.attn.out_proj.bias": (WIDTH,),
            f"{block}.mlp.c_fc.weight": (4 * WIDTH, WIDTH), f"{block}.mlp.c_fc.bias": (4 * WIDTH,),
            f"{block}.mlp.c_proj.weight": (WIDTH, 4 * WIDTH), f"{block}.mlp.c_proj.bias": (WIDTH,),
        }  # fmt: skip
    weights = {}
    for key, shape in shapes.items():
        size = math.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.3
        weights[key] = torch.randn(shape, generator=generator) * size
    for name in norms:
        weights |= {f"{name}.{part}": torch.randn(WIDTH, generator=generator) * 0.1 for part in ("weight", "bias")}
        weights[f"{name}.weight"] += 1
    return weights


def stated_turns(rows: int, columns: int) -> Tensor:
    """What the channels of each token turn by, (1 + rows * columns, 32): half by column, half by row, the class not at all."""
    turns = torch.ones(1 + rows * columns, 32, dtype=torch.complex128)
    for row in range(rows):
        for column in range(columns):
            for channel in range(16):
                speed = 10000.0 ** (-2 * channel / 32)
                turns[1 + row * columns + column, channel] = complex(
                    math.cos((column + 1) * speed), math.sin((column + 1) * speed)
                )
                turns[1 + row * columns + column, 16 + channel] = complex(
                    math.cos((row + 1) * speed), math.sin((row + 1) * speed)
                )
    return turns


def stated(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The last hidden states of pixels (B, 3, H, W) in float64: rotations as products of complex numbers.

    Bolya et al. 2025; facebookresearch/perception_models, core/vision_encoder/pe.py, with a class token at place 0.
    """
    part = {
        key.removeprefix("visual."): tensor.double() for key, tensor in weights.items() if key.startswith("visual.")
    }
    patches = conv2d(pixels.double(), part["conv1.weight"], stride=PATCH)
    rows, columns = patches.shape[-2:]
    table = part["positional_embedding"]
    grid = table[1:].view(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
    grid = interpolate(grid, (rows, columns), mode="bilinear", align_corners=False)
    tokens = patches.flatten(2).mT + grid.permute(0, 2, 3, 1).reshape(-1, WIDTH)
    first = (part["class_embedding"] + table[0]).expand(len(pixels), 1, -1)
    tokens = torch.cat((first, tokens), 1)

    def norm(name, x):
        return layer_norm(x, (WIDTH,), part[f"{name}.weight"], part[f"{name}.bias"])

    def layer(name, x):
        return linear(x, part[f"{name}.weight"], part[f"{name}.bias"])

    turns = stated_turns(rows, columns)

    def turned(x):
        return torch.view_as_real(torch.view_as_complex(x.contiguous().unflatten(-1, (32, 2))) * turns).flatten(-2)

    tokens = norm("ln_pre", tokens)
    for number in range(LAYERS):
        name = f"transformer.resblocks.{number}"
        joint = linear(
            norm(f"{name}.ln_1", tokens), part[f"{name}.attn.in_proj_weight"], part[f"{name}.attn.in_proj_bias"]
        )
        query, key, value = (one.unflatten(-1, (-1, 64)).transpose(1, 2) for one in joint.chunk(3, -1))
        scores = (turned(query) @ turned(key).mT / 8).softmax(-1)
        tokens = tokens + layer(f"{name}.attn.out_proj", (scores @ value).transpose(1, 2).flatten(2))
        tokens = tokens + layer(f"{name}.mlp.c_proj", gelu(layer(f"{name}.mlp.c_fc", norm(f"{name}.ln_2", tokens))))
    return norm("ln_post", tokens)
