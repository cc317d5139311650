"""Finding the world's shape in an image: every shape at every place is tried, and the best is moved until it fits."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .shapes import SHAPE_NAMES
from .world import SIZE, Scene, coverage

_CENTRES = (-0.2, -0.1, 0.0, 0.1, 0.2)
_RADII = (0.52, 0.60, 0.68, 0.76)
_TURNS = (-0.2, 0.0, 0.2)
_STEPS = torch.tensor([0.05, 0.05, 0.04, 0.1])  # first move of x, y, radius and turn when refining


@dataclass(frozen=True)
class Fit:
    """The world shape that explains each image best."""

    shape: Tensor  # (B) index into SHAPE_NAMES
    place: Tensor  # (B, 4) x, y, radius, turn
    mask: Tensor  # (B, SIZE, SIZE) in 0..1
    separation: Tensor  # (B) in 0..1: how well inside and outside differ in colour; 1 when each is of one colour


def _scene(shape: Tensor, place: Tensor) -> Scene:
    unused = torch.zeros(len(shape))
    return Scene(shape, place[:, :2], place[:, 2], place[:, 3], unused, unused, unused, unused, unused, unused)


@lru_cache(maxsize=1)
def _templates() -> tuple[Tensor, Tensor, Tensor]:
    """Every shape at every place, radius and turn: shapes (K), places (K, 4), masks (K, P)."""
    axes = (range(len(SHAPE_NAMES)), _CENTRES, _CENTRES, _RADII, _TURNS)
    rows = torch.cartesian_prod(*(torch.tensor([float(value) for value in axis]) for axis in axes))
    shapes, places = rows[:, 0].long(), rows[:, 1:]
    return shapes, places, coverage(_scene(shapes, places)).flatten(1)


def _whiten(pixels: Tensor) -> Tensor:
    """Centred pixels (B, 3, P) with the variance of a texture turned down: the total covariance becomes the identity."""
    pixels = pixels - pixels.mean(dim=2, keepdim=True)
    covariance = pixels @ pixels.transpose(1, 2) / pixels.shape[2] + 1e-3 * torch.eye(3)
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.rsqrt()[:, None, :]) @ vectors.transpose(1, 2) @ pixels


def _separation(sums: Tensor, inside: Tensor, count: int) -> Tensor:
    """Fisher's criterion from the whitened colour sums (B, 3, K) inside masks of area `inside`: (B, K)."""
    return sums.square().sum(dim=1) * (1 / inside + 1 / (count - inside)) / count


def fit_shape(pictures: Tensor) -> Fit:
    """Fits images (B, SIZE, SIZE, 3): the shape whose inside and outside differ most in colour, for their spread."""
    shapes, places, masks = _templates()
    pixels = _whiten(pictures[..., :3].permute(0, 3, 1, 2).flatten(2))
    best = _separation(pixels @ masks.T, masks.sum(dim=1), masks.shape[1]).argmax(dim=1)
    return _refine(pixels, shapes[best], places[best])


def evidence(pictures: Tensor, shape: int) -> Tensor:
    """How well a shape explains images (B, SIZE, SIZE, 3), as a share of how well the best one does: (B), at most 1."""
    shapes, _, masks = _templates()
    pixels = _whiten(pictures[..., :3].permute(0, 3, 1, 2).flatten(2))
    separation = _separation(pixels @ masks.T, masks.sum(dim=1), masks.shape[1])
    return separation[:, shapes == shape].amax(dim=1) / separation.amax(dim=1)


def _refine(pixels: Tensor, shape: Tensor, place: Tensor) -> Fit:
    """Moves each fitted shape along one axis at a time to where it fits best, by ever smaller moves."""
    moves = torch.cat([torch.zeros(1, 4), torch.eye(4), -torch.eye(4)])  # (M, 4)
    rows = torch.arange(len(shape))
    for fineness in (1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25):
        nearby = place[:, None] + moves * _STEPS * fineness  # (B, M, 4)
        scene = _scene(shape.repeat_interleave(len(moves)), nearby.flatten(0, 1))
        masks = coverage(scene).flatten(1).unflatten(0, nearby.shape[:2])  # (B, M, P)
        separation = _separation(pixels @ masks.transpose(1, 2), masks.sum(dim=2), masks.shape[2])
        best = separation.argmax(dim=1)
        place = nearby[rows, best]
    return Fit(shape, place, masks[rows, best].unflatten(1, (SIZE, SIZE)), separation[rows, best])
