"""The shapes of the demo world as signed distance functions: negative inside, in units of the shape's radius."""

from collections.abc import Callable

import torch
from torch import Tensor


def _circle(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.86


def _box(x: Tensor, y: Tensor, half_width: float, half_height: float) -> Tensor:
    right, down = x.abs() - half_width, y.abs() - half_height
    outside = torch.hypot(right.clamp(min=0), down.clamp(min=0))
    return outside + torch.maximum(right, down).clamp(max=0)


def _square(x: Tensor, y: Tensor) -> Tensor:
    return _box(x, y, 0.76, 0.76)


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    # Three half planes of an equilateral triangle with its tip up; exact enough for an edge one pixel wide.
    side = 0.8660254
    return torch.maximum(y - 0.55, side * x.abs() - 0.5 * y - 0.52)


def _star(x: Tensor, y: Tensor) -> Tensor:
    # Fold the plane onto half a point of a five-pointed star and measure the distance to its one edge.
    sector = 2 * torch.pi / 5
    angle = torch.atan2(x, -y)
    angle = (angle + sector / 2).remainder(sector) - sector / 2
    radius = torch.hypot(x, y)
    along, across = radius * angle.cos(), radius * angle.sin().abs()
    tip, valley = (1.02, 0.0), (0.46 * 0.8090170, 0.46 * 0.5877853)
    edge_x, edge_y = valley[0] - tip[0], valley[1] - tip[1]
    length = (edge_x * edge_x + edge_y * edge_y) ** 0.5
    return ((along - tip[0]) * edge_y - (across - tip[1]) * edge_x) / length


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.68).abs() - 0.21


def _cross(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(_box(x, y, 0.88, 0.27), _box(x, y, 0.27, 0.88))


def _heart(x: Tensor, y: Tensor) -> Tensor:
    # Two discs and a square standing on its corner.
    x, y = x.abs(), y - 0.05
    disc = torch.hypot(x - 0.40, y + 0.32) - 0.47
    turned_x, turned_y = (x + y) * 0.7071068, (y - x) * 0.7071068
    diamond = torch.maximum((turned_x - 0.06).abs() - 0.565, (turned_y - 0.06).abs() - 0.565)
    return torch.minimum(disc, diamond)


def _moon(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(torch.hypot(x + 0.08, y) - 0.90, 0.76 - torch.hypot(x - 0.40, y))


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
    "heart": _heart,
    "moon": _moon,
}
SHAPE_NAMES: tuple[str, ...] = tuple(SHAPES)


def distance(shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance of each image's own shape: shape indices (B), coordinates (B, H, W) -> (B, H, W)."""
    out = torch.empty_like(x)
    for index, function in enumerate(SHAPES.values()):
        chosen = (shape == index).nonzero()[:, 0]
        if len(chosen):
            out[chosen] = function(x[chosen], y[chosen])
    return out
