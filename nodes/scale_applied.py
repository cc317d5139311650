"""*Scale Image Prompts*."""

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui

from ..ipadapter_core.patchers.scale_applied import scale_applied
from .checked import CheckedNode
from .sockets import CATEGORY


class ScaleImagePrompts(CheckedNode):
    """Scales or removes everything that was applied to a model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreScaleApplied",
            display_name="Scale Image Prompts",
            category=CATEGORY,
            description="Multiplies the weight of every image prompt that was applied to a model, or removes them all: for a "
            "second pass that should follow the references less, or not at all.",
            search_aliases=["remove ip adapter", "bypass ipadapter", "hires fix", "second pass", "refiner", "weight"],
            inputs=[
                io.Model.Input("model", tooltip="A model behind one or more Apply IP-Adapter nodes."),
                io.Float.Input(
                    "factor",
                    default=0.5,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    tooltip="What every weight is multiplied by. 0 removes: the model is as it was before.",
                ),
            ],
            outputs=[
                io.Model.Output("MODEL", tooltip="For another sampler; the model that went in keeps its weights.")
            ],
        )

    @classmethod
    def execute(cls, model: ModelPatcher, factor: float) -> io.NodeOutput:
        """Patches a clone."""
        scaled = scale_applied(model, factor)
        return io.NodeOutput(scaled.model, ui=ui.PreviewText(scaled.report))
