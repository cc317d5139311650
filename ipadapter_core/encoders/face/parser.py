"""Which pixels of an aligned face are face, hair, cloth or background: BiSeNet, as PyTorch or onnx file.

Source: facexlib (260620a, MIT), parsing/bisenet.py and resnet.py; Yu et al. 2018, "BiSeNet".
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .onnx_session import Provider, Session, is_parser, open_session
from .torch_file import has_keys, network_in

SIGNATURE, CLASSES = "cp.resnet.conv1.weight", 19
UNUSED = ("conv_out16.", "conv_out32.")  # what only training looks at
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
WHERE = "put parsing_bisenet.pth (github.com/xinntao/facexlib, release v0.2.0) into models/facexlib"


def conv_norm(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution and its norm, under the names of the file."""
    layer = nn.Sequential()
    layer.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))
    layer.add_module("bn", nn.BatchNorm2d(outputs))
    return layer


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        plain = stride == 1 and inputs == outputs
        short = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.downsample = nn.Identity() if plain else nn.Sequential(short, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        return (self.downsample(x) + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()


class Refinement(nn.Module):
    """A convolution under a gate for each channel."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = conv_norm(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        x = self.conv(x).relu()
        return x * self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))).sigmoid()


class BiSeNet(nn.Module):
    """ResNet18's features at an eighth, a sixteenth and a thirtieth of the size, brought together; `width` is its first."""

    def __init__(self, width: int):
        super().__init__()
        half, out = 2 * width, 4 * width
        resnet = nn.Module()
        resnet.add_module("conv1", nn.Conv2d(3, width, 7, 2, 3, bias=False))
        resnet.add_module("bn1", nn.BatchNorm2d(width))
        for number, (inputs, outputs) in enumerate(((1, 1), (1, 2), (2, 4), (4, 8)), start=1):
            first = Residual(inputs * width, outputs * width, 1 if number == 1 else 2)
            resnet.add_module(f"layer{number}", nn.Sequential(first, Residual(outputs * width, outputs * width, 1)))
        self.cp = nn.ModuleDict(
            {
                "resnet": resnet,
                "arm16": Refinement(out, half),
                "arm32": Refinement(8 * width, half),
                "conv_head32": conv_norm(half, half),
                "conv_head16": conv_norm(half, half),
                "conv_avg": conv_norm(8 * width, half, 1),
            }
        )
        gate = {"conv1": nn.Conv2d(out, width, 1, bias=False), "conv2": nn.Conv2d(width, out, 1, bias=False)}
        self.ffm = nn.ModuleDict({"convblk": conv_norm(out, out, 1), **gate})
        self.conv_out = nn.ModuleDict({"conv": conv_norm(out, out), "conv_out": nn.Conv2d(out, CLASSES, 1, bias=False)})

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) -> scores (B, 19, H, W)."""
        resnet: Any = self.cp["resnet"]
        x = nn.functional.max_pool2d(resnet.bn1(resnet.conv1(pixels)).relu(), 3, 2, 1)
        eighth = resnet.layer2(resnet.layer1(x))
        sixteenth = resnet.layer3(eighth)
        last = resnet.layer4(sixteenth)
        mean = self.cp["conv_avg"](last.mean((2, 3), keepdim=True)).relu()
        up = interpolate(self.cp["arm32"](last) + mean, sixteenth.shape[-2:])
        up = self.cp["arm16"](sixteenth) + self.cp["conv_head32"](up).relu()
        up = self.cp["conv_head16"](interpolate(up, eighth.shape[-2:])).relu()
        both = self.ffm["convblk"](torch.cat((eighth, up), dim=1)).relu()
        gate = self.ffm["conv2"](self.ffm["conv1"](both.mean((2, 3), keepdim=True)).relu()).sigmoid()
        scores = self.conv_out["conv_out"](self.conv_out["conv"](both * gate + both).relu())
        return interpolate(scores, pixels.shape[-2:], mode="bilinear", align_corners=True)


class FaceParser:
    """A face parser, opened when it is first asked; it runs where onnxruntime or the CPU runs it."""

    def __init__(self, path: Path, provider: Provider):
        self.path, self.provider = path, provider
        self._opened: BiSeNet | Session | None = None

    def __reduce__(self) -> tuple[type["FaceParser"], tuple[Path, Provider]]:
        return FaceParser, (self.path, self.provider)

    def classes(self, crop: Tensor) -> Tensor:
        """The class (S, S) of each pixel of an aligned face (S, S, 3) in RGB, 0..1."""
        if self._opened is None:
            self._opened = self._open()
        pixels = ((crop.cpu().float() - torch.tensor(MEAN)) / torch.tensor(STD)).movedim(-1, 0).unsqueeze(0)
        if isinstance(self._opened, Session):
            scores = torch.as_tensor(self._opened.run(pixels.contiguous().numpy())[0])
        else:
            with torch.inference_mode():
                scores = self._opened(pixels)
        return scores[0].argmax(dim=0)

    def _open(self) -> BiSeNet | Session:
        """Raises `FaceAnalysisError` where a file is damaged or another model's."""
        if _is_onnx(self.path):
            return _onnx(self.path, self.provider)
        return network_in(self.path, _bisenet, "face parser", f"BiSeNet: {WHERE}")


def find_parser(files: Iterable[Path], provider: Provider) -> FaceParser | None:
    """The first file that is a face parser: PyTorch files by their keys, then onnx by their signature."""
    for file in sorted(files, key=lambda one: (_is_onnx(one), "pars" not in one.name.lower(), one.name)):
        if is_parser(open_session(file, provider)[0]) if _is_onnx(file) else has_keys(file, SIGNATURE):
            return FaceParser(file, provider)
    return None


def _is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ".onnx"


def _onnx(path: Path, provider: Provider) -> Session:
    return open_session(path, provider)[0]


def _bisenet(tensors: dict[str, Tensor]) -> BiSeNet:
    """The network with a file's weights."""
    network = BiSeNet(tensors[SIGNATURE].shape[0])
    network.load_state_dict({key: one for key, one in tensors.items() if not key.startswith(UNUSED)})
    return network
