"""*Negative Image Noise*."""

import torch
from torch import Tensor

from comfy_api.latest import io

from ..ipadapter_core.images.noise import Noise, add_noise, blurred
from .checked import CheckedNode
from .sockets import CATEGORY

BLACK = (1, 224, 224, 3)


class NoiseForNegative(CheckedNode):
    """Makes a noisy image to move away from."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreNoise",
            display_name="Negative Image Noise",
            category=CATEGORY,
            description="Makes an image noisy, for negative_image of Encode Reference Image: the result then moves away from "
            "noise and becomes cleaner and richer.",
            search_aliases=[
                "ipadapter noise",
                "negative noise",
                "noise injection",
                "dissolve",
                "shuffle",
                "ip adapter",
            ],
            inputs=[
                io.Combo.Input(
                    "type",
                    options=Noise,
                    default=Noise.FADE,
                    tooltip="fade mixes with noise, dissolve replaces values by chance, gaussian adds grain, shuffle turns "
                    "the image round and scatters its pixels.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much noise. Low strengths keep the image's colours in the negative.",
                ),
                io.Int.Input("blur", default=0, min=0, max=32, tooltip="Softens the noise, in pixels: coarser grain."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**63 - 1,
                    control_after_generate=True,
                    tooltip="The same seed makes the same noise.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The image to make noisy, often the reference itself. Without one it is black.",
                ),
            ],
            outputs=[io.Image.Output("IMAGE", tooltip="For negative_image of Encode Reference Image.")],
        )

    @classmethod
    def execute(cls, type: str, strength: float, blur: int, seed: int, image: Tensor | None = None) -> io.NodeOutput:
        """Draws the noise."""
        pictures = torch.zeros(BLACK) if image is None else image.contiguous()
        return io.NodeOutput(blurred(add_noise(pictures, Noise(type), strength, seed), blur))
