"""BiSeNet in miniature: its file's key names with seeded noise, its equations stated anew, and the same as onnx."""

from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, interpolate, max_pool2d, relu

CLASSES, WIDTH = 19, 8


def parser_weights(width: int = WIDTH, seed: int = 6) -> dict[str, Tensor]:
    """A whole file of facexlib's, with the outputs that only training looks at; `width` is 64 in the published one."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, inputs: int, outputs: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)

    def norm(name: str, size: int) -> None:
        shapes.update({f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    def conv_norm(name: str, inputs: int, outputs: int, kernel: int) -> None:
        conv(f"{name}.conv", inputs, outputs, kernel)
        norm(f"{name}.bn", outputs)

    conv("cp.resnet.conv1", 3, width, 7)
    norm("cp.resnet.bn1", width)
    for number, (inputs, outputs) in enumerate(((1, 1), (1, 2), (2, 4), (4, 8)), start=1):
        for place in range(2):
            name, before = f"cp.resnet.layer{number}.{place}", (outputs if place else inputs) * width
            conv(f"{name}.conv1", before, outputs * width, 3)
            conv(f"{name}.conv2", outputs * width, outputs * width, 3)
            norm(f"{name}.bn1", outputs * width)
            norm(f"{name}.bn2", outputs * width)
            if before != outputs * width:
                conv(f"{name}.downsample.0", before, outputs * width, 1)
                norm(f"{name}.downsample.1", outputs * width)
    for name, inputs in (("arm16", 4 * width), ("arm32", 8 * width)):
        conv_norm(f"cp.{name}.conv", inputs, 2 * width, 3)
        conv(f"cp.{name}.conv_atten", 2 * width, 2 * width, 1)
        norm(f"cp.{name}.bn_atten", 2 * width)
    for name, inputs, kernel in (("conv_head32", 2, 3), ("conv_head16", 2, 3), ("conv_avg", 8, 1)):
        conv_norm(f"cp.{name}", inputs * width, 2 * width, kernel)
    conv_norm("ffm.convblk", 4 * width, 4 * width, 1)
    conv("ffm.conv1", 4 * width, width, 1)
    conv("ffm.conv2", width, 4 * width, 1)
    for name, inputs, inner in (("", 4, 4), ("16", 2, 1), ("32", 2, 1)):
        conv_norm(f"conv_out{name}.conv", inputs * width, inner * width, 3)
        conv(f"conv_out{name}.conv_out", inner * width, CLASSES, 1)
    return _filled(shapes, seed)


def _filled(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    for key, shape in shapes.items():
        if len(shape) == 4:
            weights[key] = torch.randn(shape, generator=generator) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif key.endswith(("running_var", "weight")):
            weights[key] = 0.5 + torch.rand(shape, generator=generator)
        else:
            weights[key] = torch.randn(shape, generator=generator) * 0.2 if shape else torch.tensor(3)
    return weights


def stated_scores(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The scores (B, 19, H, W) of normalised pixels in float64; ResNet18 is torchvision's.

    Yu et al. 2018, "BiSeNet"; facexlib (260620a), parsing/bisenet.py.
    """
    part = {key: one.double() if one.is_floating_point() else one for key, one in weights.items()}

    def conv(name: str, x: Tensor, pad: int = 0) -> Tensor:
        return conv2d(x, part[f"{name}.weight"], padding=pad)

    def norm(name: str, x: Tensor) -> Tensor:
        rest = (part[f"{name}.{one}"] for one in ("running_mean", "running_var", "weight", "bias"))
        return batch_norm(x, *rest)

    def block(name: str, x: Tensor, pad: int = 1) -> Tensor:
        return relu(norm(f"{name}.bn", conv(f"{name}.conv", x, pad)))

    def refined(name: str, x: Tensor) -> Tensor:
        x = block(f"{name}.conv", x)
        gate = norm(f"{name}.bn_atten", conv(f"{name}.conv_atten", x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(gate)

    eighth, sixteenth, last = _resnet(part, pixels.double(), norm)
    mean = block("cp.conv_avg", last.mean((2, 3), keepdim=True), 0)
    x = refined("cp.arm32", last) + mean
    x = refined("cp.arm16", sixteenth) + block("cp.conv_head32", interpolate(x, sixteenth.shape[2:], mode="nearest"))
    x = block("cp.conv_head16", interpolate(x, eighth.shape[2:], mode="nearest"))
    x = block("ffm.convblk", torch.cat((eighth, x), 1), 0)
    gate = conv("ffm.conv2", relu(conv("ffm.conv1", x.mean((2, 3), keepdim=True))))
    x = conv("conv_out.conv_out", block("conv_out.conv", x + x * torch.sigmoid(gate)))
    return interpolate(x, pixels.shape[2:], mode="bilinear", align_corners=True)


def _resnet(part, x, norm):
    """The features of ResNet18's second, third and fourth stage, by torchvision's blocks."""
    from torchvision.models.resnet import BasicBlock

    def stage(name: str, x: Tensor, stride: int) -> Tensor:
        for place in range(2):
            own = {
                key.removeprefix(f"{name}.{place}."): one
                for key, one in part.items()
                if key.startswith(f"{name}.{place}.")
            }
            outputs, inputs = own["conv1.weight"].shape[:2]
            short = None
            if inputs != outputs:
                short = torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                            torch.nn.BatchNorm2d(outputs))  # fmt: skip
            layer = BasicBlock(inputs, outputs, 1 if place else stride, short).double().eval()
            layer.load_state_dict(own)
            x = layer(x)
        return x

    x = max_pool2d(relu(norm("cp.resnet.bn1", conv2d(x, part["cp.resnet.conv1.weight"], stride=2, padding=3))), 3, 2, 1)
    x = stage("cp.resnet.layer1", x, 1)
    eighth = stage("cp.resnet.layer2", x, 2)
    sixteenth = stage("cp.resnet.layer3", eighth, 2)
    return eighth, sixteenth, stage("cp.resnet.layer4", sixteenth, 2)


def onnx_parser(path: Path, bright: int = 1, dark: int = 17) -> None:
    """A parser's signature: a class for bright pixels, another for dark ones, by the mean of their normalised colours."""
    kernel = torch.zeros(CLASSES, 3, 1, 1)
    kernel[bright], kernel[dark] = 1.0, -1.0
    bias = torch.full((CLASSES,), -1e3)
    bias[bright] = bias[dark] = 0.0
    constants = [numpy_helper.from_array(one.numpy(), name) for name, one in (("kernel", kernel), ("bias", bias))]
    node = helper.make_node("Conv", ["input", "kernel", "bias"], ["output"], kernel_shape=[1, 1])
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 512, 512])
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", CLASSES, 512, 512])
    graph = helper.make_graph([node], "tiny", [given], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
