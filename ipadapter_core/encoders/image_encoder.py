"""What the CLIP_VISION socket carries, whoever made it."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher


class ImageEncoder(Protocol):
    """The interface of ComfyUI's `ClipVisionModel`, which our own encoders have, too."""

    @property
    def model_type(self) -> str:
        """Its kind, as in config.json."""
        ...

    @property
    def image_size(self) -> int:
        """The side of the square, in pixels, that images are fitted to."""
        ...

    @property
    def image_mean(self) -> Sequence[float]:
        """What is taken off each colour."""
        ...

    @property
    def image_std(self) -> Sequence[float]:
        """What each colour is divided by after that."""
        ...

    @property
    def load_device(self) -> torch.device:
        """Where it runs."""
        ...

    @property
    def model(self) -> Any:
        """The network."""
        ...

    @property
    def patcher(self) -> ModelPatcher:
        """Who manages its memory."""
        ...

    def encode_image(self, image: Tensor, crop: bool = True) -> Output:
        """Images (B, H, W, 3), 0 to 1, to features by name."""
        ...
