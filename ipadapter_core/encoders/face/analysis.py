"""Detection and recognition together, behind the face that insightface's `FaceAnalysis` shows to other packs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import FaceAnalysisError
from .detection import Detector
from .geometry import aligned_crop
from .ir_se50 import SecondRecogniser, find_second_recogniser
from .onnx_session import RECOGNITION_SIZE, Provider, Session, is_detection, is_recognition, open_session
from .parser import FaceParser, find_parser

SWEEP = tuple(range(640, 319, -64))  # a face that fills the image is found at a smaller size
ZIP = "https://github.com/deepinsight/insightface/releases/download/v0.7/{name}.zip"


@dataclass(frozen=True)
class AnalysedFace:
    """One face, named as insightface names it, by attribute and by key; positions in pixels of the image."""

    bbox: Any
    kps: Any
    det_score: float
    embedding: Any

    @property
    def normed_embedding(self) -> Any:
        """The identity at length one."""
        return self.embedding / (self.embedding**2).sum() ** 0.5

    def __getitem__(self, name: str) -> Any:
        """An attribute by its name."""
        return getattr(self, name)


class FaceAnalysis:
    """What the INSIGHTFACE socket carries when our loader made it."""

    def __init__(
        self,
        detection: Session,
        recognition: Session,
        parser: FaceParser | None = None,
        second: SecondRecogniser | None = None,
    ):
        self.det_model = Detector(detection)
        self.recognition = recognition
        self.parser = parser
        self.second = second

    def get(self, picture: Any, max_num: int = 0) -> list[AnalysedFace]:
        """The faces of an image, an array (H, W, 3) in BGR, 0..255; best score first. `max_num` 0 is all of them."""
        image = torch.as_tensor(picture.copy()).flip(-1).float()
        found = self.det_model.detect(image)
        count = len(found.scores) if max_num == 0 else min(max_num, len(found.scores))
        return [
            AnalysedFace(
                found.boxes[i].numpy(), found.landmarks[i].numpy(), float(found.scores[i]),
                self.identity(image, found.landmarks[i]).numpy(),
            )
            for i in range(count)
        ]  # fmt: skip

    def identity(self, picture: Tensor, landmarks: Tensor) -> Tensor:
        """The vector (512) that the recognition model makes of a face in an image (H, W, 3), RGB, 0..255.

        Source: deepinsight/insightface, python-package/insightface/model_zoo/arcface_onnx.py.
        """
        crop = aligned_crop(picture, landmarks, RECOGNITION_SIZE)
        blob = ((crop - 127.5) / 127.5).movedim(-1, 0).unsqueeze(0).contiguous()
        return torch.as_tensor(self.recognition.run(blob.numpy())[0]).flatten()


class Loaded(NamedTuple):
    """An analysis and what there is to say about it."""

    analysis: FaceAnalysis
    report: str


def load_analysis(folder: Path, provider: Provider, beside: Iterable[Path] = ()) -> Loaded:
    """Opens the detection and the recognition model of a folder, told by their signatures; others are left alone.

    `beside` are files among which a face parser may be, for adapters that want the face alone, and a second recogniser, for
    those that know faces by IR-SE50.
    Raises `FaceAnalysisError` when a detection or recognition model is missing.
    """
    files = sorted(folder.rglob("*.onnx"), key=_likely) if folder.is_dir() else []
    detection = recognition = None
    said = ""
    for file in files:
        if detection and recognition:
            break
        session, said = open_session(file, provider)
        if is_detection(session):
            detection = detection or session
        elif is_recognition(session):
            recognition = recognition or session
    if detection is None or recognition is None:
        missing = " and ".join(
            name for name, there in (("a detection model (det_10g.onnx or scrfd_10g_bnkps.onnx)", detection),
                                     ("a recognition model (w600k_r50.onnx or glintr100.onnx)", recognition))
            if there is None
        )  # fmt: skip
        present = ", ".join(file.name for file in files) or "no .onnx file"
        raise FaceAnalysisError(
            f"{folder}: {present} found, {missing} expected: download {ZIP.format(name=folder.name)} and unpack it there"
        )
    report = f"{folder.name}: {detection.file} finds faces, {recognition.file} knows them; on {said}"
    beside = list(beside)
    parser, second = find_parser(beside, provider), find_second_recogniser(beside)
    if parser is not None:
        report += f"; {parser.path.name} tells the face from what is beside it"
    if second is not None:
        report += f"; {second.path.name} knows faces for Lynx"
    return Loaded(FaceAnalysis(detection, recognition, parser, second), report)


def _likely(file: Path) -> tuple[int, str]:
    """Files that sound right first: opening each of insightface's five takes a while."""
    name = file.name.lower()
    return (0 if any(word in name for word in ("det_", "scrfd", "w600k", "glintr", "arcface")) else 1, name)


def find_faces(analysis: Any, picture: Tensor) -> list[AnalysedFace]:
    """The faces of an image (H, W, 3), 0..1, at the largest detection size at which there are any.

    `analysis` is ours or insightface's own. Its detection size is put back afterwards.
    """
    array = (picture[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).flip(-1).cpu().numpy()
    before = analysis.det_model.input_size
    try:
        for size in SWEEP:
            analysis.det_model.input_size = (size, size)
            faces = analysis.get(array)
            if faces:
                return faces
    finally:
        analysis.det_model.input_size = before
    return []
