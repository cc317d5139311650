"""The demo world: a shape on a background, each with a colour and a texture, drawn with antialiased edges."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from .shapes import SHAPE_NAMES, distance
from .textures import TEXTURE_NAMES, texture

SIZE = 64
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.12, 0.12),
    "orange": (0.96, 0.52, 0.08),
    "yellow": (0.95, 0.86, 0.15),
    "green": (0.13, 0.62, 0.20),
    "teal": (0.08, 0.66, 0.66),
    "blue": (0.12, 0.24, 0.85),
    "purple": (0.50, 0.16, 0.70),
    "pink": (0.95, 0.48, 0.70),
    "brown": (0.45, 0.27, 0.12),
    "white": (0.95, 0.95, 0.95),
    "grey": (0.50, 0.50, 0.50),
    "black": (0.06, 0.06, 0.06),
}


@dataclass(frozen=True)
class Scene:
    """A batch of images as numbers; every field has B rows."""

    shape: Tensor  # (B) index into SHAPE_NAMES
    centre: Tensor  # (B, 2) in half image widths
    radius: Tensor  # (B)
    turn: Tensor  # (B) radians
    object_colour: Tensor  # (B, 3) in 0..1
    background_colour: Tensor  # (B, 3)
    object_texture: Tensor  # (B) index into TEXTURE_NAMES
    background_texture: Tensor  # (B)
    angle: Tensor  # (B) of both textures, radians
    phase: Tensor  # (B, 2) of both textures, in periods

    def __len__(self) -> int:
        return len(self.shape)

    def select(self, rows: Tensor) -> "Scene":
        """The scene's chosen rows, in the order given."""
        return Scene(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def random_colours(count: int, generator: torch.Generator) -> Tensor:
    """Colours, half of them near a named one and half anywhere: (count, 3)."""
    named = torch.tensor(list(COLOURS.values()))
    near = named[torch.randint(len(named), (count,), generator=generator)]
    near = near + 0.06 * torch.randn(count, 3, generator=generator)
    anywhere = torch.rand(count, 3, generator=generator)
    return torch.where(torch.rand(count, 1, generator=generator) < 0.5, near, anywhere).clamp(0, 1)


def _contrasting(colour: Tensor, generator: torch.Generator) -> Tensor:
    """For each colour another one that is clearly different from it: the farthest of six draws is far enough."""
    draws = torch.stack([random_colours(len(colour), generator) for _ in range(6)])
    far = (draws - colour).norm(dim=-1) > 0.45
    first = torch.where(far.any(0), far.float().argmax(0), (draws - colour).norm(dim=-1).argmax(0))
    return draws[first, torch.arange(len(colour))]


def random_scene(count: int, generator: torch.Generator) -> Scene:
    """A batch of scenes with everything drawn at random."""

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    background = random_colours(count, generator)
    kinds = len(TEXTURE_NAMES)
    patterned = torch.randint(kinds, (count, 2), generator=generator)
    plain_object = uniform(count) < 0.5
    return Scene(
        shape=torch.randint(len(SHAPE_NAMES), (count,), generator=generator),
        centre=uniform(count, 2, low=-0.16, high=0.16),
        radius=uniform(count, low=0.56, high=0.74),
        turn=uniform(count, low=-0.2, high=0.2),
        object_colour=_contrasting(background, generator),
        background_colour=background,
        object_texture=torch.where(plain_object, torch.zeros_like(patterned[:, 0]), patterned[:, 0]),
        background_texture=patterned[:, 1],
        angle=torch.randint(4, (count,), generator=generator) * (torch.pi / 4),
        phase=uniform(count, 2),
    )


def same_style(scene: Scene, generator: torch.Generator) -> Scene:
    """Other scenes in the same style: shape, place and texture phase are new, colours and textures stay."""
    other = random_scene(len(scene), generator)
    return replace(
        scene, shape=other.shape, centre=other.centre, radius=other.radius, turn=other.turn, phase=other.phase
    )


def grid(size: int) -> tuple[Tensor, Tensor]:
    """Pixel centres in -1..1: x and y, each (1, size, size)."""
    line = (torch.arange(size) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x[None], y[None]


def edge_distance(scene: Scene, size: int = SIZE) -> Tensor:
    """Signed distance to the shape's edge in pixels, negative inside: (B, size, size)."""
    x, y = grid(size)
    x = x - scene.centre[:, 0, None, None]
    y = y - scene.centre[:, 1, None, None]
    cosine, sine = scene.turn.cos()[:, None, None], scene.turn.sin()[:, None, None]
    radius = scene.radius[:, None, None]
    turned_x, turned_y = (cosine * x + sine * y) / radius, (cosine * y - sine * x) / radius
    return distance(scene.shape, turned_x, turned_y) * radius * (size / 2)


def coverage(scene: Scene, size: int = SIZE) -> Tensor:
    """How much of each pixel the shape covers: (B, 1, size, size) in 0..1."""
    return (0.5 - edge_distance(scene, size)).clamp(0, 1)[:, None]


def outline(scene: Scene, size: int = SIZE, width: float = 1.6) -> Tensor:
    """The shape's edge as a white line on black: (B, 1, size, size) in 0..1."""
    return (0.5 + width * size / SIZE / 2 - edge_distance(scene, size).abs()).clamp(0, 1)[:, None]


def surfaces(scene: Scene, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """The object's and the background's surface, each filling the image: two (B, 3, size, size)."""
    x, y = grid(size)
    return (
        texture(scene.object_colour, scene.object_texture, scene.angle, scene.phase, x, y),
        texture(scene.background_colour, scene.background_texture, scene.angle, scene.phase, x, y),
    )


def render(scene: Scene, size: int = SIZE, mask: Tensor | None = None) -> Tensor:
    """The images: (B, 3, size, size) in 0..1; `mask` (B, 1, size, size) stands in for the shape when given."""
    front, back = surfaces(scene, size)
    mask = coverage(scene, size) if mask is None else mask
    return back + (front - back) * mask
