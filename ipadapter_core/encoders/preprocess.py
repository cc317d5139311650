"""From an image to the pixels that an encoder was trained on."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoint.spec import AdapterSpec, Feature
from ..images.fit import ResizeMode, fit_square, stretch
from ..images.sharpen import sharpen
from ..images.transparency import laid_on_grey
from .image_encoder import ImageEncoder
from .options import EncodeOptions

SIGLIP = "siglip_vision_model"


class Preprocessing(NamedTuple):
    """How an image becomes a square: the fit, the colour beside a padded one (None: the encoder's mean), how sharp.

    With `shapes` (height, width) it is stretched to the one whose aspect is nearest, instead of to a square. `behind` is the
    colour of what is transparent or masked (None: the encoder's mean).
    """

    fit: ResizeMode
    bars: float | None
    sharpening: float = 0.0
    shapes: tuple[tuple[int, int], ...] = ()
    behind: tuple[float, ...] | None = None


def preprocessing_for(spec: AdapterSpec, encoder: ImageEncoder, look: EncodeOptions) -> Preprocessing:
    """The view that was asked for, or the one that the adapter was trained with."""
    view = trained_preprocessing(spec, encoder) if look.fit is ResizeMode.TRAINED else Preprocessing(look.fit, None)
    return view._replace(sharpening=look.sharpening)


def trained_preprocessing(spec: AdapterSpec, encoder: ImageEncoder) -> Preprocessing:
    """What the adapter was trained with: CLIP's centre crop, SigLIP's stretch, PE-Core's nearest aspect, Anima's black bars."""
    if spec.projector.feature is Feature.LAST:
        return Preprocessing(ResizeMode.PAD, 0.0)
    if spec.projector.feature is Feature.PERCEPTION:
        return Preprocessing(ResizeMode.STRETCH, None, shapes=getattr(encoder, "shapes", ()))
    return Preprocessing(ResizeMode.STRETCH if encoder.model_type == SIGLIP else ResizeMode.CENTER, None)


def pixels_for(
    encoder: ImageEncoder, pictures: Tensor, view: Preprocessing, mask: Tensor | None = None, times: int = 1
) -> Tensor:
    """The images (B, S, S, 3), or of a shape of the view, that go to the encoder, rounded to 8 bits as it does itself.

    With `times` the square is so many times as large.

    A transparent image lies on the encoder's mean colour, which it sees as zero, or on what the view has behind it; what a
    mask (M, H, W) hides takes it, too.
    """
    mean = torch.tensor(view.behind or encoder.image_mean)
    size = encoder.image_size * times
    bars = mean if view.bars is None else torch.full((3,), view.bars)
    opaque = laid_on_grey(pictures, mean).movedim(-1, 1).float()
    seen = sharpen(_fitted(opaque, size, view, bars), view.sharpening)
    if mask is not None:
        beside = torch.full((1,), 0.0 if view.bars is None else 1.0)
        shown = _fitted(mask.unsqueeze(1).to(seen), size, view, beside)
        visible = shown[torch.arange(len(seen)).clamp(max=len(shown) - 1)]
        seen = visible * seen + (1 - visible) * mean.to(seen).view(1, 3, 1, 1)
    return (seen.movedim(1, -1) * 255).round() / 255


def fitted_masks(masks: Tensor, size: int, view: Preprocessing) -> Tensor:
    """Masks (M, H, W) as the view shows their images, (M, 1, h, w); bars beside a padded image are black."""
    return _fitted(masks.unsqueeze(1).float(), size, view, torch.zeros(1))


def _fitted(planes: Tensor, size: int, view: Preprocessing, background: Tensor) -> Tensor:
    """Planes (B, C, H, W) in the view's nearest shape, or in a square of `size`."""
    if not view.shapes:
        return fit_square(planes, size, view.fit, background)
    aspect = math.log(planes.shape[-2] / planes.shape[-1])
    return stretch(planes, min(view.shapes, key=lambda shape: abs(math.log(shape[0] / shape[1]) - aspect)))
