"""The apply nodes that take style and composition from two pictures."""

from comfy_api.latest import io

from ...ipadapter_core.compat.apply import apply_style_and_composition
from ...ipadapter_core.compat.pipeline import pipeline_of
from ...ipadapter_core.compat.request import Request
from ...ipadapter_core.weights.layer_presets import LayerPreset
from .inputs import apply_schema, combine_embeds, image, scaling, usual_optional, weight, window

CATEGORY = "ipadapter/style_composition"


def _inputs(combine: list[io.Input]) -> list[io.Input]:
    return [
        image("image_style", "How it shall look."),
        image("image_composition", "How it shall be laid out."),
        weight(name="weight_style", tooltip="How strongly the style acts."),
        weight(name="weight_composition", tooltip="How strongly the composition acts."),
        io.Boolean.Input("expand_style", default=False, tooltip="Take the style into all other layers, too."),
        *combine,
        *window(),
        scaling(),
        *usual_optional(),
    ]


class OldStyleComposition(io.ComfyNode):
    """*IPAdapter Style & Composition SDXL*."""

    unfold = False

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter Style & Composition SDXL"
        return apply_schema("IPAdapterStyleComposition", name, CATEGORY, _inputs([combine_embeds("average")]))

    @classmethod
    def execute(
        cls, model, ipadapter, image_style, image_composition, weight_style, expand_style, **inputs
    ) -> io.NodeOutput:  # fmt: skip
        """Two halves of one weight type."""
        kind = LayerPreset.STRONG_STYLE_AND_COMPOSITION if expand_style else LayerPreset.STYLE_AND_COMPOSITION
        style = Request(
            **inputs, image=image_style, weight=weight_style, weight_type=kind.value, unfold=cls.unfold
        )  # fmt: skip
        return io.NodeOutput(apply_style_and_composition(model, pipeline_of(ipadapter), style, image_composition))


class OldStyleCompositionBatch(OldStyleComposition):
    """*IPAdapter Style & Composition Batch SDXL*."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter Style & Composition Batch SDXL"
        return apply_schema("IPAdapterStyleCompositionBatch", name, CATEGORY, _inputs([]))


NODES = [OldStyleComposition, OldStyleCompositionBatch]
