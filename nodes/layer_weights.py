"""*Layer Weights*."""

from comfy_api.latest import io, ui

from ..ipadapter_core.drawing.weight_plots import plot_layer_weights
from ..ipadapter_core.weights.layer_presets import LayerPreset
from ..ipadapter_core.weights.layer_weights import LayerWeights
from ..ipadapter_core.weights.parsing import read_overrides
from .checked import CheckedNode
from .sockets import CATEGORY, LayerWeightsSocket


class LayerWeightsNode(CheckedNode):
    """Says how strongly each block of a UNet listens to the reference."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreLayerWeights",
            display_name="Layer Weights",
            category=CATEGORY,
            description="How strongly each block listens to the reference: its style, its composition, or single blocks by "
            "name. Shows the weights for SD1.5 and SDXL.",
            search_aliases=[
                "weight type",
                "style transfer",
                "composition",
                "block weights",
                "instantstyle",
                "ip adapter",
            ],
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=LayerPreset,
                    default=LayerPreset.STYLE,
                    tooltip="Style takes colours, materials and mood; composition takes layout; linear takes everything. "
                    "The precise presets also push the other one away from the reference.",
                ),
                io.String.Input(
                    "blocks",
                    default="",
                    multiline=True,
                    tooltip="Sets blocks by hand on top of the preset: 'input 4: 0.5, middle: 0, output: 1.2'. Or by index "
                    "in running order, '3: 1, 6: 0.5', where every other block is 0.",
                ),
                io.Float.Input(
                    "second_weight",
                    default=1.0,
                    min=-5.0,
                    max=5.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="For presets of two halves, the second half's weight: composition in 'style and composition', "
                    "what is pushed away in the precise presets. Other presets do not use it.",
                ),
            ],
            outputs=[LayerWeightsSocket.Output("layer_weights", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def execute(cls, preset: str, blocks: str, second_weight: float = 1.0) -> io.NodeOutput:
        """Reads the text and draws the bars."""
        weights = LayerWeights(LayerPreset(preset), 1.0, second_weight, read_overrides(blocks))
        return io.NodeOutput(weights, ui=ui.PreviewImage(plot_layer_weights(weights), cls=cls))
