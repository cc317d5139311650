"""Reference images on request: a scene from words and a seed, as image, outline and mask."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from .shapes import SHAPE_NAMES
from .textures import TEXTURE_NAMES
from .world import COLOURS, Scene, coverage, outline, random_scene, render


class Request(NamedTuple):
    """What is asked for; None is left to the seed."""

    shape: str | None = None
    object_colour: str | None = None
    background_colour: str | None = None
    object_texture: str | None = None
    background_texture: str | None = None


class Drawing(NamedTuple):
    """A drawn scene in ComfyUI's layouts."""

    picture: Tensor  # (B, H, W, 3)
    outline: Tensor  # (B, H, W, 3)
    mask: Tensor  # (B, H, W)


def scene_of(request: Request, seed: int, count: int = 1) -> Scene:
    """`count` scenes as asked; what is not asked for differs from one to the next and follows from the seed."""
    scene = random_scene(count, torch.Generator().manual_seed(seed))

    def index(name: str | None, names: tuple[str, ...], drawn: Tensor) -> Tensor:
        return drawn if name is None else torch.full_like(drawn, names.index(name))

    def colour(name: str | None, drawn: Tensor) -> Tensor:
        return drawn if name is None else torch.tensor([COLOURS[name]]).expand(count, 3)

    return replace(
        scene,
        shape=index(request.shape, SHAPE_NAMES, scene.shape),
        object_colour=colour(request.object_colour, scene.object_colour),
        background_colour=colour(request.background_colour, scene.background_colour),
        object_texture=index(request.object_texture, TEXTURE_NAMES, scene.object_texture),
        background_texture=index(request.background_texture, TEXTURE_NAMES, scene.background_texture),
    )


def draw(request: Request, seed: int, count: int = 1, size: int = 64) -> Drawing:
    """Draws scenes as asked."""
    scene = scene_of(request, seed, count)
    edge = outline(scene, size).expand(-1, 3, -1, -1)
    picture, mask = render(scene, size), coverage(scene, size)[:, 0]
    return Drawing(picture.movedim(1, -1).contiguous(), edge.movedim(1, -1).contiguous(), mask)
