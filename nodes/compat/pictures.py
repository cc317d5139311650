"""The nodes that change images before they are encoded."""

from typing import Any

from comfy_api.latest import io

from ...ipadapter_core.compat.prepare_image import RESAMPLING, Crop, noise_picture, prepared
from ...ipadapter_core.images.noise import Noise
from .inputs import choice, image, number, other_schema, sharpening, whole
from .methods import NOISE, PREPARE
from .old_node import OldNode, called_as

CATEGORY = "ipadapter/utils"


def _output() -> list[io.Output]:
    return [io.Image.Output(display_name="IMAGE")]


@called_as(NOISE)
class OldNoise(OldNode):
    """*IPAdapter Noise*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [
            choice("type", list(Noise), "Fade to noise, scatter it, add it, or warp the image as well."),
            number("strength", "How much noise.", (0, 1)),
            whole("blur", "How far the noise is blurred, in pixels.", (0, 32)),
            image("image_optional", "What is made noisy; without one, black.", True),
        ]
        return other_schema("IPAdapterNoise", "IPAdapter Noise", CATEGORY, inputs, _output())

    @classmethod
    def execute(cls, type: str, strength: float, blur: int, image_optional: Any = None) -> io.NodeOutput:
        """Makes noise."""
        return io.NodeOutput(noise_picture(Noise(type), strength, blur, image_optional))


@called_as(PREPARE)
class OldPrepImage(OldNode):
    """*Prep Image For ClipVision*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [
            image(tooltip="The image."),
            choice("interpolation", list(RESAMPLING), "How it is made smaller."),
            choice("crop_position", list(Crop), "Which part of an image that is not square is kept."),
            sharpening(),
        ]
        return other_schema("PrepImageForClipVision", "Prep Image For ClipVision", CATEGORY, inputs, _output())

    @classmethod
    def execute(
        cls, image: Any, interpolation: str = "LANCZOS", crop_position: str = "center", sharpening: float = 0.0
    ) -> io.NodeOutput:
        """Makes squares of 224 pixels."""
        return io.NodeOutput(prepared(image, interpolation, Crop(crop_position), sharpening))


NODES = [OldNoise, OldPrepImage]
