"""ArcFace IR-SE50 in miniature: its file's key names with seeded noise, and its equations stated anew."""

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, linear, prelu, relu

Stages = tuple[tuple[int, int], ...]
STAGES: Stages = ((8, 2), (12, 1), (16, 2), (24, 1))  # channels and units
PUBLISHED: Stages = ((64, 3), (128, 4), (256, 14), (512, 3))
IDENTITY, LAST_SIDE = 512, 7  # of a crop of 112 that four stages halve
Shapes = dict[str, tuple[int, ...]]


def recogniser_shapes(stages: Stages = STAGES, squeeze: int = 4, identity: int = IDENTITY) -> Shapes:
    """A whole file's; 16 for `squeeze` in the published one."""
    stem = stages[0][0]
    shapes: Shapes = {"input_layer.0.weight": (stem, 3, 3, 3), "input_layer.2.weight": (stem,)} | _norm(
        "input_layer.1", stem
    )
    before, number = stem, 0
    for width, units in stages:
        for _ in range(units):
            layer, short = f"body.{number}.res_layer", f"body.{number}.shortcut_layer"
            shapes |= _norm(f"{layer}.0", before) | _norm(f"{layer}.4", width)
            shapes |= {
                f"{layer}.1.weight": (width, before, 3, 3), f"{layer}.2.weight": (width,),
                f"{layer}.3.weight": (width, width, 3, 3), f"{layer}.5.fc1.weight": (width // squeeze, width, 1, 1),
                f"{layer}.5.fc2.weight": (width, width // squeeze, 1, 1),
            }  # fmt: skip
            if before != width:
                shapes |= {f"{short}.0.weight": (width, before, 1, 1)} | _norm(f"{short}.1", width)
            before, number = width, number + 1
    shapes |= {"output_layer.3.weight": (identity, before * LAST_SIDE**2), "output_layer.3.bias": (identity,)}
    return shapes | _norm("output_layer.0", before) | _norm("output_layer.4", identity)


def _norm(name: str, size: int) -> Shapes:
    parts: Shapes = {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}
    return parts | {f"{name}.num_batches_tracked": ()}


def recogniser_weights(seed: int = 6) -> dict[str, Tensor]:
    """Seeded noise of a size that keeps activations near one."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    for key, shape in recogniser_shapes().items():
        if len(shape) > 1:
            weights[key] = torch.randn(shape, generator=generator) / torch.Size(shape[1:]).numel() ** 0.5
        elif key.endswith(("running_var", "weight")):
            weights[key] = 0.5 + torch.rand(shape, generator=generator)
        else:
            weights[key] = torch.randn(shape, generator=generator) * 0.2 if shape else torch.tensor(3)
    return weights


def stated_identity(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The vectors (B, 512), of length one, of crops (B, 3, 112, 112) in BGR, -1 to 1, in float64.

    facexlib (260620a), recognition/arcface_arch.py: bottleneck_IR_SE units, the first of each stage with a stride of 2.
    """
    part = {key: one.double() for key, one in weights.items()}

    def norm(name: str, x: Tensor) -> Tensor:
        return batch_norm(x, *(part[f"{name}.{one}"] for one in ("running_mean", "running_var", "weight", "bias")))

    x = conv2d(pixels.double(), part["input_layer.0.weight"], padding=1)
    x = prelu(norm("input_layer.1", x), part["input_layer.2.weight"])
    number = 0
    for _, units in STAGES:
        for unit in range(units):
            layer, short, stride = f"body.{number}.res_layer", f"body.{number}.shortcut_layer", 1 if unit else 2
            y = conv2d(norm(f"{layer}.0", x), part[f"{layer}.1.weight"], padding=1)
            y = conv2d(prelu(y, part[f"{layer}.2.weight"]), part[f"{layer}.3.weight"], padding=1, stride=stride)
            y = norm(f"{layer}.4", y)
            inner = relu(conv2d(y.mean((2, 3), keepdim=True), part[f"{layer}.5.fc1.weight"]))
            y = y * torch.sigmoid(conv2d(inner, part[f"{layer}.5.fc2.weight"]))
            x = x[:, :, ::stride, ::stride]
            if f"{short}.0.weight" in part:
                x = norm(f"{short}.1", conv2d(x, part[f"{short}.0.weight"]))
            x, number = x + y, number + 1
    x = linear(norm("output_layer.0", x).flatten(1), part["output_layer.3.weight"], part["output_layer.3.bias"])
    x = norm("output_layer.4", x)
    return x / x.square().sum(-1, keepdim=True).sqrt()
