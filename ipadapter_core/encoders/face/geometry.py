"""Where the points of a face should lie, and the transforms that bring them there. Images are (H, W, C)."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

# eyes, nose, corners of the mouth in an image of 112 x 112; source: deepinsight/insightface, utils/face_align.py
TEMPLATE = torch.tensor(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)

linalg = cast(Any, torch.linalg)  # which has no types


def template(size: int) -> Tensor:
    """The five points (5, 2) in an aligned crop; sizes that 112 does not divide leave a margin at both sides."""
    if size % 112 == 0:
        return TEMPLATE * (size / 112)
    ratio = size / 128
    return TEMPLATE * ratio + torch.tensor((8 * ratio, 0.0))


def similarity(source: Tensor, target: Tensor) -> Tensor:
    """The rotation, scale and shift (2, 3) that bring points (N, 2) nearest to others in the sense of least squares.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns".
    """
    source, target = source.double(), target.double()
    source_mean, target_mean = source.mean(0), target.mean(0)
    from_center, to_center = source - source_mean, target - target_mean
    left, scales, right = linalg.svd(to_center.T @ from_center / len(source))
    mirrored = linalg.det(left) * linalg.det(right) < 0
    sign = torch.tensor((1.0, -1.0 if mirrored else 1.0), dtype=torch.float64)  # a rotation, never a reflection
    rotation = left @ torch.diag(sign) @ right
    scale = (scales * sign).sum() / from_center.square().sum(1).mean()
    matrix = scale * rotation
    return torch.cat((matrix, (target_mean - matrix @ source_mean).unsqueeze(1)), dim=1)


def warp(picture: Tensor, transform: Tensor, size: int) -> Tensor:
    """What a transform (2, 3) of pixel positions brings into a square of `size`: bilinear, black outside the image."""
    matrix, shift = transform[:, :2].double(), transform[:, 2].double()
    rows, columns = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    places = (torch.stack((columns, rows), dim=-1) - shift) @ linalg.inv(matrix).T  # (size, size, 2) as x, y
    height, width = picture.shape[:2]
    extent = torch.tensor((max(width - 1, 1), max(height - 1, 1)), dtype=torch.float64)
    grid = (2 * places / extent - 1).to(picture).unsqueeze(0)
    planes = picture.movedim(-1, 0).unsqueeze(0)
    return grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0].movedim(0, -1)


def aligned_crop(picture: Tensor, landmarks: Tensor, size: int) -> Tensor:
    """The face upright at its usual place (size, size, C), as the recognition and FaceID models were trained on."""
    return warp(picture, similarity(landmarks, template(size)), size)


def square_crop(picture: Tensor, box: tuple[float, float, float, float]) -> Tensor:
    """The square around a box, its centre kept and its longer side whole; black where it leaves the image.

    Source: Kwai-Kolors/Kolors, ipadapter_FaceID/sample_ipadapter_faceid_plus.py, face_bbox_to_square.
    """
    left, top, right, bottom = box
    half = max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    x0, y0, x1, y1 = (round(edge) for edge in (x - half, y - half, x + half, y + half))
    height, width = picture.shape[:2]
    inside = picture[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    margins = (0, 0, max(-x0, 0), max(x1 - width, 0), max(-y0, 0), max(y1 - height, 0))
    return pad(inside, margins)
