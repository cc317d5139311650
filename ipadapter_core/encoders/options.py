"""How an encoder should look at an image."""

from enum import Enum
from typing import NamedTuple

from torch import Tensor

from ..images.fit import ResizeMode


class NegativeChoice(str, Enum):
    """What stands in for the reference in the negative pass, where no image is given for it."""

    TRAINED = "as trained"
    GREY = "grey image"


class Detail(NamedTuple):
    """A second look, at `tiles` by `tiles` parts of an image, and its share of the features: 0 none, 1 all."""

    tiles: int = 1
    share: float = 0.0

    @property
    def looks(self) -> bool:
        """Whether there is one."""
        return self.tiles > 1 and self.share != 0


class MaskUse(str, Enum):
    """What a mask over a reference hides: pixels from the encoder, or what the encoder made of patches from the adapter."""

    PIXELS = "pixels"
    PATCHES = "patches"


class EncodeOptions(NamedTuple):
    """How the encoder should look at an image: which part, under which mask (M, H, W), how sharp (0..1), how closely.

    `size` is the side in pixels of the square that it sees, 0 for its own; `negative` what it sees of nothing.
    """

    fit: ResizeMode = ResizeMode.TRAINED
    mask: Tensor | None = None
    sharpening: float = 0.0
    detail: Detail = Detail()
    mask_use: MaskUse = MaskUse.PIXELS
    size: int = 0
    negative: NegativeChoice = NegativeChoice.TRAINED


def describe_source(pictures: Tensor, look: EncodeOptions | None = None) -> str:
    """What a prompt is made from, in words."""
    count, height, width = pictures.shape[:3]
    words = [f"{count} {'image' if count == 1 else 'images'} of {width} x {height}"]
    if look is not None:
        words.append(f"fit {look.fit.value}")
        words += [f"masked by {look.mask_use.value}"] if look.mask is not None else []
        words += [f"sharpened by {look.sharpening:g}"] if look.sharpening else []
        words += [f"{look.detail.share:g} from {look.detail.tiles} x {look.detail.tiles} tiles"] * look.detail.looks
        words += [f"at {look.size} pixels"] if look.size else []
    return ", ".join(words)
