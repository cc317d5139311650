"""Images as they come through a socket."""

from typing import Any

from torch import Tensor

from ..errors import InputError
from ..images.transparency import laid_on_grey
from ..limits import IMAGE_PIXELS
from .tensors import described, tensor_of, unit_values

EXPECTED = "images [batch, height, width, channels] with 1, 3 or 4 channels"
CHANNELS = (1, 3, 4)  # grey, colours, colours and alpha


def read_images(value: Any, where: str) -> Tensor:
    """Images (B, H, W, 3), or (B, H, W, 4) where they have alpha, in float32 from 0 to 1; a grey channel becomes three.

    `where` says in an error which input of which node it is. Raises `InputError` for everything else.
    """
    images = tensor_of(value, where, EXPECTED)
    if images.ndim != 4 or images.shape[-1] not in CHANNELS or images.shape[1] * images.shape[2] > IMAGE_PIXELS:
        raise InputError(f"{where}: found {described(images)}, expected {EXPECTED}: {_hint(images)}")
    images = unit_values(images, where, EXPECTED)
    return images.expand(-1, -1, -1, 3) if images.shape[-1] == 1 else images


def read_opaque_images(value: Any, where: str) -> Tensor:
    """Images (B, H, W, 3) as `read_images` reads them, transparent ones laid on grey."""
    return laid_on_grey(read_images(value, where))


def _hint(images: Tensor) -> str:
    if images.ndim == 4 and images.shape[1] in CHANNELS:
        return "the channels come first here, put them last in the node connected there"
    if images.ndim == 3:
        return "one dimension is missing, connect masks through Convert Mask to Image, and give single images a batch of one"
    if images.ndim == 5:
        return "a video or a stack of batches, connect its frames as one batch of images"
    return "look at the node connected there"
