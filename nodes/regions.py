"""*Regional Image Prompts*."""

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io

from ..ipadapter_core.prompt.regions import Region, regional_prompt, regional_words
from .checked import CheckedNode
from .sockets import CATEGORY, ImagePromptSocket

MOST = 8


class RegionalImagePrompts(CheckedNode):
    """Gives each region of the result a reference, and words if wanted."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreRegions",
            display_name="Regional Image Prompts",
            category=CATEGORY,
            description="A list of regions, each with a reference, a mask, a weight and, if wanted, a text prompt.",
            search_aliases=[
                "regional conditioning",
                "regional prompt",
                "attention mask",
                "several characters",
                "ip adapter",
            ],
            inputs=[
                io.DynamicCombo.Input(
                    "regions",
                    options=[io.DynamicCombo.Option(str(count), _regions(count)) for count in range(1, MOST + 1)],
                    tooltip="How many regions there are; the inputs of each appear. A region without a mask is the rest: what "
                    "no other region covers.",
                ),
                io.Conditioning.Input(
                    "positive", optional=True, tooltip="Words for the whole image, beside those of the regions."
                ),
                io.Float.Input(
                    "prompt_strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="How strongly the regions' words count against those for the whole image.",
                ),
            ],
            outputs=[
                ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter; the masks are inside."),
                io.Conditioning.Output(
                    "positive", tooltip="For the sampler: the words of all regions. Leave it if no words are connected."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, regions: Mapping[str, Any], positive: list[Any] | None = None, prompt_strength: float = 1.0
    ) -> io.NodeOutput:
        """Puts every region in its place."""
        names = ("image_prompt", "mask", "weight", "prompt")
        rows: list[list[Any]] = [
            [regions.get(f"{name}_{number}") for name in names] for number in range(1, int(regions["regions"]) + 1)
        ]
        found = [Region(*row) for row in rows]
        spoken = positive is not None or any(region.words for region in found)
        words = regional_words(found, positive, prompt_strength) if spoken else None
        return io.NodeOutput(regional_prompt(found), words)


def _regions(count: int) -> list[io.Input]:
    return [one for number in range(1, count + 1) for one in _region(number)]


def _region(number: int) -> tuple[io.Input, ...]:
    return (
        ImagePromptSocket.Input(f"image_prompt_{number}", tooltip="The image prompt of this region."),
        io.Mask.Input(f"mask_{number}", optional=True, tooltip="Where in the result; without a mask, the rest."),
        io.Float.Input(
            f"weight_{number}", default=1.0, min=-1.0, max=5.0, step=0.05, tooltip="How strongly, beside the others."
        ),
        io.Conditioning.Input(f"prompt_{number}", optional=True, tooltip="Words for this region."),
    )
