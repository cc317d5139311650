"""onnxruntime: an optional package, its providers by their true names, and what a model file is told by its signature."""

import logging
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import OUT_OF_MEMORY, FaceAnalysisError

logger = logging.getLogger(__name__)


class Provider(str, Enum):
    """What runs the face models."""

    CPU = "CPU"
    CUDA = "CUDA"
    ROCM = "ROCm"
    DIRECTML = "DirectML"
    OPENVINO = "OpenVINO"
    COREML = "CoreML"


PROVIDERS = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.ROCM: "ROCMExecutionProvider",
    Provider.DIRECTML: "DmlExecutionProvider",
    Provider.OPENVINO: "OpenVINOExecutionProvider",
    Provider.COREML: "CoreMLExecutionProvider",
}
PACKAGES = {
    Provider.CUDA: "onnxruntime-gpu",
    Provider.DIRECTML: "onnxruntime-directml",
    Provider.OPENVINO: "onnxruntime-openvino",
    Provider.ROCM: "onnxruntime-rocm",
}
DETECTION_OUTPUTS = 9  # scores, boxes and landmarks at three strides
RECOGNITION_SIZE = 112
PARSER_CLASSES = 19


class Session(NamedTuple):
    """An open model: `run(blob)` gives its outputs as arrays. Copied or pickled, it is the file that is opened again."""

    path: Path
    provider: Provider
    inputs: list[Any]
    outputs: list[Any]
    inference: Any

    @property
    def file(self) -> str:
        """The file's name."""
        return self.path.name

    def __reduce__(self) -> tuple[Callable[[Path, Provider], "Session"], tuple[Path, Provider]]:
        return _open_again, (self.path, self.provider)

    def run(self, blob: Any) -> list[Any]:
        """All outputs for one input."""
        return self.inference.run([output.name for output in self.outputs], {self.inputs[0].name: blob})


def runtime() -> Any:
    """The onnxruntime module; raises `FaceAnalysisError` when it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise FaceAnalysisError(
            "face analysis needs the Python package onnxruntime, which is not installed: run `pip install onnxruntime` in "
            "ComfyUI's Python (onnxruntime-gpu for CUDA, onnxruntime-directml for DirectML); insightface is not needed"
        ) from error
    return onnxruntime


def open_session(path: Path, provider: Provider) -> tuple[Session, str]:
    """Opens a model; returns it and what runs it, in words, with the reason when that is not what was asked for.

    Raises `FaceAnalysisError` when the file is no model.
    """
    onnxruntime = runtime()
    wanted, fallback = PROVIDERS[provider], PROVIDERS[Provider.CPU]
    available = onnxruntime.get_available_providers()
    chosen = [wanted, fallback] if wanted in available and wanted != fallback else [fallback]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        inference = onnxruntime.InferenceSession(str(path), options, providers=chosen)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a class of its own for each way to fail
        raise FaceAnalysisError(
            f"{path.name}: onnxruntime cannot open it ({path.stat().st_size} bytes, {type(error).__name__}): download it "
            f"again into {path.parent}"
        ) from error
    running = inference.get_providers()[0]
    said = running
    if running != wanted:
        package = PACKAGES.get(provider, "another build of onnxruntime")
        said = f"{running}, because {wanted} is not available (installed: {', '.join(available)}; {package} brings it)"
        logger.warning("IP-Adapter: face models run on %s", said)
    return Session(path, provider, inference.get_inputs(), inference.get_outputs(), inference), said


def _open_again(path: Path, provider: Provider) -> Session:
    return open_session(path, provider)[0]


def is_detection(session: Session) -> bool:
    """SCRFD with landmarks: nine outputs, two anchors at strides 8, 16 and 32."""
    return len(session.outputs) == DETECTION_OUTPUTS


def is_parser(session: Session) -> bool:
    """BiSeNet for faces: an image in, of its outputs the first a score for each of 19 classes at each pixel."""
    shape = list(session.outputs[0].shape)
    return len(shape) == 4 and shape[1] == PARSER_CLASSES


def is_recognition(session: Session) -> bool:
    """ArcFace: an image of 112 x 112 in, one vector out."""
    size = list(session.inputs[0].shape[-2:])
    one_vector = len(session.outputs) == 1 and len(session.outputs[0].shape) == 2
    return size == [RECOGNITION_SIZE] * 2 and one_vector
