"""The apply nodes that take style and composition from two images."""

from comfy_api.latest import io

from .apply import OldApply
from .inputs import apply_schema, combine_embeds, image, scaling, usual_optional, weight, window

CATEGORY = "ipadapter/style_composition"


def _inputs(combine: list[io.Input]) -> list[io.Input]:
    return [
        image("image_style", "How it should look."),
        image("image_composition", "How it should be laid out."),
        weight(name="weight_style", tooltip="How strongly the style acts."),
        weight(name="weight_composition", tooltip="How strongly the composition acts."),
        io.Boolean.Input("expand_style", default=False, tooltip="Take the style into all other layers, too."),
        *combine,
        *window(),
        scaling(),
        *usual_optional(),
    ]


class OldStyleComposition(OldApply):
    """*IPAdapter Style & Composition SDXL*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter Style & Composition SDXL"
        return apply_schema("IPAdapterStyleComposition", name, CATEGORY, _inputs([combine_embeds("average")]))


class OldStyleCompositionBatch(OldStyleComposition):
    """*IPAdapter Style & Composition Batch SDXL*."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter Style & Composition Batch SDXL"
        return apply_schema("IPAdapterStyleCompositionBatch", name, CATEGORY, _inputs([]))


NODES = [OldStyleComposition, OldStyleCompositionBatch]
