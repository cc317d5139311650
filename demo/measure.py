"""The demo's numbers: pure functions from images to distances and shares.

Images are (B, 64, 64, 3) in 0..1, as ComfyUI's IMAGE. All numbers rest on `fit_shape`, which tries every shape
of the world at every place: on 256 freshly drawn scenes in random colours and textures it named the right shape every
time and covered it with a mean overlap (IoU) of 0.97.
"""

import torch
from torch import Tensor

from .fitting import Fit, evidence, fit_shape
from .shapes import SHAPE_NAMES
from .texture_fit import ANGLES, STRIPED, fit_textures
from .textures import second_shade
from .words import OPEN, read
from .world import COLOURS, Scene


def palette(pictures: Tensor, fit: Fit | None = None) -> Tensor:
    """The mean colours inside and outside the fitted shape: (B, 2, 3)."""
    mask = ((fit or fit_shape(pictures)).mask > 0.5).to(pictures)[..., None]
    inside = (pictures * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))
    outside = (pictures * (1 - mask)).sum(dim=(1, 2)) / (1 - mask).sum(dim=(1, 2))
    return torch.stack([inside, outside], dim=1)


def palette_distance(pictures: Tensor, reference: Tensor) -> Tensor:
    """How far each image's two colours are from the reference's: (B).

    The Euclidean distance in RGB (0 to 1.73) between mean object colours and between mean background colours, averaged.
    Two unrelated images of the world are about 0.57 apart, two in one style 0.02.
    """
    return (palette(pictures) - palette(reference)).norm(dim=-1).mean(dim=-1)


def shape_kept(pictures: Tensor, shape: str) -> Tensor:
    """Whether the shape found in each image is the one that the text names: (B) bool."""
    return fit_shape(pictures).shape == SHAPE_NAMES.index(shape)


def prompt_kept(pictures: Tensor, text: str) -> Tensor:
    """How well each image shows what a text says: (B) in 0..1, the mean over the shape and the colours that it names.

    A shape counts as much as it explains the image beside the shape that does so best, a colour as 1 less its distance
    from the mean colour that is there, in RGB over the longest one. Textures are not looked at.
    """
    shape, front, back, *_ = read(text)
    scores = [] if shape == OPEN else [evidence(pictures, shape)]
    if front != OPEN or back != OPEN:
        found, named = palette(pictures), torch.tensor(list(COLOURS.values()))
        said = [(part, word) for part, word in enumerate((front, back)) if word != OPEN]
        scores += [1 - (found[:, part] - named[word]).norm(dim=-1) / 3**0.5 for part, word in said]
    return torch.stack(scores).mean(dim=0) if scores else torch.ones(len(pictures))


def outline_followed(pictures: Tensor, masks: Tensor) -> Tensor:
    """How well each image's shape covers the filled outline: overlap (IoU) of the fitted shape and `masks` (B, 64, 64)."""
    found = fit_shape(pictures).mask
    return found.minimum(masks).sum(dim=(1, 2)) / found.maximum(masks).sum(dim=(1, 2))


def textures_kept(pictures: Tensor, scene: Scene, fit: Fit | None = None) -> Tensor:
    """Whether the texture found on each image's shape, and the one behind it, are those of a scene: (B, 2) bool."""
    found = fit_textures(pictures, fit)
    return torch.stack(
        [found.inside.kind == scene.object_texture, found.outside.kind == scene.background_texture], dim=1
    )


def second_shade_inside(pictures: Tensor, scene: Scene, fit: Fit | None = None) -> Tensor:
    """How much of each image's shape is nearer to the second shade of a scene's object than to its colour: (B) in 0..1."""
    mask = ((fit or fit_shape(pictures)).mask > 0.5).to(pictures)
    shades = (scene.object_colour, second_shade(scene.object_colour))
    near, far = ((pictures[..., :3] - shade[:, None, None]).norm(dim=-1) for shade in reversed(shades))
    return ((near < far) * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))


def stripes_followed(pictures: Tensor, scene: Scene, fit: Fit | None = None) -> Tensor:
    """For each striped surface of a scene, whether the image has stripes there that run the same way: (N) bool.

    Stripes run in one of four directions, 45 degrees apart: by chance one in four of those that are stripes at all follow.
    """
    found = fit_textures(pictures, fit)
    turn = (scene.angle / (torch.pi / len(ANGLES))).round().long() % len(ANGLES)
    sides = ((found.inside, scene.object_texture), (found.outside, scene.background_texture))
    return torch.cat([((side.kind == STRIPED) & (side.angle == turn))[wanted == STRIPED] for side, wanted in sides])
