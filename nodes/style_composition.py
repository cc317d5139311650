"""*Apply Style and Composition*."""

from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..ipadapter_core.adapter.managed import ManagedAdapter
from ..ipadapter_core.patchers.style_composition import Sources, apply_style_and_composition
from ..ipadapter_core.prompt.image_prompt import ImagePrompt
from ..ipadapter_core.sampling.strength import Strength
from ..ipadapter_core.weights.layer_weights import LayerWeights
from ..ipadapter_core.weights.schedule import WeightSchedule
from .checked import CheckedNode
from .sockets import CATEGORY, ImagePromptSocket, IPAdapterSocket, LayerWeightsSocket, WeightScheduleSocket


class ApplyStyleAndComposition(CheckedNode):
    """Makes a model take style from one reference and composition from another."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreApplyStyleComposition",
            display_name="Apply Style and Composition",
            category=CATEGORY,
            description="Takes the style of one reference and the composition of another: each in the layers that make it.",
            search_aliases=[
                "style composition",
                "style transfer",
                "composition transfer",
                "two references",
                "ip adapter",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model to steer; it is not changed, a patched copy comes out."),
                IPAdapterSocket.Input("ip_adapter", tooltip="The adapter that both image prompts were encoded for."),
                ImagePromptSocket.Input("style", tooltip="Colours, materials and mood."),
                ImagePromptSocket.Input("composition", tooltip="Layout and large shapes."),
                _weight("style_weight", "How strongly the style acts."),
                _weight("composition_weight", "How strongly the composition acts."),
                io.Boolean.Input(
                    "expand_style",
                    default=False,
                    tooltip="Lets the style act in every layer that does not make the composition, not only where it is made.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where in the run both start to take effect.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where in the run both stop taking effect.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Where in the result both act: white fully, black not at all."
                ),
                WeightScheduleSocket.Input(
                    "weight_schedule", optional=True, tooltip="A multiplier of both that changes over the run."
                ),
                _layers("style_layers", "Other layers for the style than the model's known ones."),
                _layers("composition_layers", "Other layers for the composition than the model's known ones."),
            ],
            outputs=[io.Model.Output("MODEL", tooltip="For a sampler, or another Apply node.")],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        model: ModelPatcher,
        ip_adapter: ManagedAdapter,
        style: ImagePrompt,
        composition: ImagePrompt,
        style_weight: float,
        composition_weight: float,
        expand_style: bool,
        start_percent: float,
        end_percent: float,
        mask: Tensor | None = None,
        weight_schedule: WeightSchedule | None = None,
        style_layers: LayerWeights | None = None,
        composition_layers: LayerWeights | None = None,
    ) -> io.NodeOutput:
        """Patches a clone twice."""
        weights = (style_weight, composition_weight, expand_style)
        sources = Sources(style, composition, *weights, style_layers, composition_layers)
        strength = Strength(1.0, start_percent, end_percent, weight_schedule)
        return io.NodeOutput(apply_style_and_composition(model, ip_adapter, sources, strength, mask))


def _weight(name: str, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=1.0, min=-1.0, max=5.0, step=0.05, tooltip=tooltip)


def _layers(name: str, tooltip: str) -> io.Input:
    return LayerWeightsSocket.Input(name, optional=True, advanced=True, tooltip=f"{tooltip} From Layer Weights.")
