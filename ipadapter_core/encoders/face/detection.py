"""SCRFD: from an image to boxes, scores and five landmarks.

Source: deepinsight/insightface, detection/scrfd and python-package/insightface/model_zoo/scrfd.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .onnx_session import Session

STRIDES = (8, 16, 32)
ANCHORS = 2  # at each cell
SCORE = 0.5  # at least
OVERLAP = 0.4  # at most


class Detections(NamedTuple):
    """boxes (N, 4) as left, top, right, bottom; scores (N); landmarks (N, 5, 2). The best score first."""

    boxes: Tensor
    scores: Tensor
    landmarks: Tensor


class Detector:
    """A detection model and the size of the square that it looks at; other packs set `input_size` (width, height)."""

    def __init__(self, session: Session):
        self.session = session
        self.input_size = (640, 640)

    def detect(self, picture: Tensor) -> Detections:
        """Faces of an image (H, W, 3) in RGB, 0..255."""
        canvas, scale = fit(picture, self.input_size)
        blob = ((canvas - 127.5) / 128).movedim(-1, 0).unsqueeze(0)
        outputs = [torch.as_tensor(part).float() for part in self.session.run(blob.numpy())]
        found = decode(outputs, self.input_size)
        return Detections(found.boxes / scale, found.scores, found.landmarks / scale)


def fit(picture: Tensor, size: tuple[int, int]) -> tuple[Tensor, float]:
    """The image in the top left corner of a black canvas, as large as it fits, and how it was scaled."""
    width, height = size
    rows, columns = picture.shape[:2]
    if rows / columns > height / width:
        new_rows, new_columns = height, max(int(height * columns / rows), 1)
    else:
        new_rows, new_columns = max(int(width * rows / columns), 1), width
    planes = picture.movedim(-1, 0).unsqueeze(0)
    resized = interpolate(planes, (new_rows, new_columns), mode="bilinear", align_corners=False)[0].movedim(0, -1)
    canvas = torch.zeros(height, width, 3)
    canvas[:new_rows, :new_columns] = resized
    return canvas, new_rows / rows


def decode(outputs: list[Tensor], size: tuple[int, int]) -> Detections:
    """From distances to an anchor's centre, in strides, to positions; overlapping boxes leave the best."""
    scores: list[Tensor] = []
    boxes: list[Tensor] = []
    landmarks: list[Tensor] = []
    for index, stride in enumerate(STRIDES):
        score, distance, points = (outputs[index + kind * len(STRIDES)] for kind in range(3))
        center = centers(size, stride)
        keep = score.reshape(-1) >= SCORE
        center, distance, points = center[keep], distance.reshape(-1, 4)[keep], points.reshape(-1, 10)[keep]
        scores.append(score.reshape(-1)[keep])
        boxes.append(torch.cat((center - distance[:, :2] * stride, center + distance[:, 2:] * stride), dim=1))
        landmarks.append(center.unsqueeze(1) + torch.unflatten(points, 1, (5, 2)) * stride)
    found = Detections(torch.cat(boxes), torch.cat(scores), torch.cat(landmarks))
    kept = best(found.boxes, found.scores)
    return Detections(*(part[kept] for part in found))


def centers(size: tuple[int, int], stride: int) -> Tensor:
    """The anchors' centres (N, 2) as x, y: row by row, each twice."""
    columns, rows = size[0] // stride, size[1] // stride
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    grid = torch.stack((x, y), dim=-1).reshape(-1, 2).float() * stride
    return grid.repeat_interleave(ANCHORS, dim=0)


def best(boxes: Tensor, scores: Tensor) -> list[int]:
    """Indices of boxes, the best score first, without those that overlap a better one."""
    order = scores.argsort(descending=True, stable=True)
    kept: list[int] = []
    for index in map(int, order):
        if all(overlap(boxes[index], boxes[other]) <= OVERLAP for other in kept):
            kept.append(index)
    return kept


def overlap(one: Tensor, other: Tensor) -> float:
    """Intersection over union; sides count whole pixels, both ends included."""
    sides = (torch.minimum(one[2:], other[2:]) - torch.maximum(one[:2], other[:2]) + 1).clamp(min=0)
    common = float(sides.prod())
    areas = [float((box[2:] - box[:2] + 1).prod()) for box in (one, other)]
    return common / (sum(areas) - common)
