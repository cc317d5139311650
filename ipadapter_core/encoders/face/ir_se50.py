"""ArcFace with the network IR-SE50, as facexlib publishes it for PyTorch: whom Lynx knows a face by.

Its vectors are not those of buffalo_l or antelopev2. Source: facexlib (260620a, MIT), recognition/arcface_arch.py; Deng et al.
2019, "ArcFace"; Hu et al. 2018, "Squeeze-and-Excitation Networks".
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import FaceAnalysisError
from .geometry import aligned_crop
from .onnx_session import RECOGNITION_SIZE
from .torch_file import has_keys, network_in

SIGNATURE = ("input_layer.0.weight", "body.0.res_layer.5.fc1.weight", "output_layer.3.weight")
COUNTER = "num_batches_tracked"  # of training
WHERE = "put recognition_arcface_ir_se50.pth (github.com/xinntao/facexlib, release v0.1.0) into models/facexlib"


class Excitation(nn.Module):
    """A gate for each channel, from the means of all."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.fc1 = nn.Conv2d(width, inner, 1, bias=False)
        self.fc2 = nn.Conv2d(inner, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Unit(nn.Module):
    """Two convolutions and a gate beside a shortcut, without a rectifier behind their sum."""

    def __init__(self, inputs: int, outputs: int, inner: int, stride: int):
        super().__init__()
        short = (nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut_layer = nn.MaxPool2d(1, stride) if inputs == outputs else nn.Sequential(*short)
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            Excitation(outputs, inner),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        return self.shortcut_layer(x) + self.res_layer(x)


class IRSE50(nn.Module):
    """A crop of a face to a vector; every size is read off a file's tensors."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__()
        width = tensors["input_layer.0.weight"].shape[0]
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        units: list[nn.Module] = []
        while (name := f"body.{len(units)}.res_layer") + ".3.weight" in tensors:
            outputs, inner = tensors[f"{name}.3.weight"].shape[0], tensors[f"{name}.5.fc1.weight"].shape[0]
            units.append(Unit(width, outputs, inner, 2 if width != outputs or not units else 1))
            width = outputs
        self.body = nn.Sequential(*units)
        identity, inputs = tensors["output_layer.3.weight"].shape
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width), nn.Identity(), nn.Flatten(), nn.Linear(inputs, identity), nn.BatchNorm1d(identity)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, S, S) in BGR, -1 to 1 -> vectors (B, E) of length one."""
        vectors = self.output_layer(self.body(self.input_layer(pixels)))
        return vectors / vectors.square().sum(dim=-1, keepdim=True).sqrt()


class SecondRecogniser:
    """IR-SE50 in a file, opened when it is first asked; it runs on the CPU."""

    def __init__(self, path: Path):
        self.path = path
        self._opened: IRSE50 | None = None

    def __reduce__(self) -> tuple[type["SecondRecogniser"], tuple[Path]]:
        return SecondRecogniser, (self.path,)

    def identity(self, picture: Tensor, landmarks: Tensor) -> Tensor:
        """The vector (E), of length one, of a face in an image (H, W, 3) in RGB, 0..1, by its five landmarks."""
        if self._opened is None:
            self._opened = network_in(self.path, _network, "recogniser", f"ArcFace IR-SE50: {WHERE}")
        crop = aligned_crop(picture, landmarks, RECOGNITION_SIZE).clamp(0, 1)
        pixels = (crop.flip(-1) * 2 - 1).movedim(-1, 0).unsqueeze(0)
        with torch.inference_mode(False), torch.no_grad():
            return self._opened(pixels.clone())[0]


def find_second_recogniser(files: Iterable[Path]) -> SecondRecogniser | None:
    """The first PyTorch file that is IR-SE50, by its keys."""
    for file in sorted(files, key=lambda one: ("arcface" not in one.name.lower(), one.name)):
        if file.suffix.lower() != ".onnx" and has_keys(file, *SIGNATURE):
            return SecondRecogniser(file)
    return None


def second_identity(analysis: Any, picture: Tensor, face: Any, file: str) -> Tensor:
    """Whom IR-SE50 knows a face by, for an adapter's file. Raises `FaceAnalysisError` where the analysis has no such model."""
    recogniser: SecondRecogniser | None = getattr(analysis, "second", None)
    if recogniser is None:
        raise FaceAnalysisError(
            f"{file} knows faces by ArcFace IR-SE50, found a face analysis without it: {WHERE}, and connect Load Face Analysis "
            "to insightface of Encode Face"
        )
    return recogniser.identity(picture, torch.as_tensor(face.kps).float())


def _network(tensors: dict[str, Tensor]) -> IRSE50:
    """The network with a file's weights, through which a crop has passed."""
    network = IRSE50(tensors)
    counters = {key: one for key, one in network.state_dict().items() if key.endswith(COUNTER)}
    network.load_state_dict(counters | tensors)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, RECOGNITION_SIZE, RECOGNITION_SIZE))
    return network
