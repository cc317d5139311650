"""Guidance by the text and by the image prompts with a scale each.

    image, then text:  neither + g_image (image alone - neither) + g_text (both - image alone)
    text, then image:  neither + g_text (text alone - neither) + g_image (both - text alone)

`neither` is the negative text without the image prompts, `image alone` the negative text with them, `text alone` the positive
text without. Both are as published: the first by InstructPix2Pix (arXiv 2211.09800, eq. 3), whose form IP-Adapter-Instruct
and Lynx took over, the second by StyleCrafter (arXiv 2312.00330) and Anima's node.
"""

import math
from enum import Enum
from typing import NamedTuple

from torch import Tensor


class GuidanceOrder(Enum):
    """Which of the two is guided by first: what comes second is added on top of it."""

    IMAGE_FIRST = "image, then text"
    TEXT_FIRST = "text, then image"


class Needed(NamedTuple):
    """Which of the outer passes a step needs; between them `one` is needed always."""

    both: bool
    neither: bool


class Predictions(NamedTuple):
    """What the model predicts in the three passes, of one shape; `one` sees the text alone or the image prompts alone."""

    both: Tensor
    neither: Tensor
    one: Tensor


class ImageGuidance(NamedTuple):
    """The scales, and what they are for first."""

    text: float
    image: float
    order: GuidanceOrder

    @property
    def is_plain(self) -> bool:
        """Whether the scales are alike, and this ComfyUI's own guidance in two passes."""
        return math.isclose(self.text, self.image)

    @property
    def scales(self) -> tuple[float, float]:
        """The first, which leads from neither to one, and the second, which leads from there to both."""
        first = self.order is GuidanceOrder.IMAGE_FIRST
        return (self.image, self.text) if first else (self.text, self.image)

    @property
    def needed(self) -> Needed:
        """What has a factor other than 0 in the sum."""
        first, second = self.scales
        return Needed(both=second != 0, neither=not math.isclose(first, 1.0))

    def guided(self, found: Predictions) -> Tensor:
        """The sum; where a pass is not needed `one` may stand in its place."""
        first, second = self.scales
        return found.neither + (found.one - found.neither) * first + (found.both - found.one) * second
