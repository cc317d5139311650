"""*Image Prompt Guider*."""

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..ipadapter_core.patchers.image_guider import ImageGuider
from ..ipadapter_core.sampling.image_guidance import GuidanceOrder, ImageGuidance
from .checked import CheckedNode
from .sockets import CATEGORY


class ImagePromptGuider(CheckedNode):
    """Guidance by the text and by the image prompts, with a scale each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreImageGuider",
            display_name="Image Prompt Guider",
            category=CATEGORY,
            description="Guidance with a scale for the text and one for the image prompts, in three passes a step. For "
            "SamplerCustomAdvanced, in place of CFG Guider.",
            search_aliases=["dual cfg guider", "image guidance", "image cfg", "ip_cfg_scale", "instruct", "ip adapter"],
            inputs=[
                io.Model.Input("model", tooltip="A model behind one or more Apply IP-Adapter nodes."),
                io.Conditioning.Input("positive", tooltip="The text of what should be there."),
                io.Conditioning.Input("negative", tooltip="The text of what should not be there; it may be empty."),
                _scale(
                    "text_scale", 7.0, "How strongly the image is pulled towards the text: the cfg of other samplers."
                ),
                _scale(
                    "image_scale",
                    5.0,
                    "How strongly the image is pulled towards the image prompts. As large as text_scale: ordinary guidance "
                    "in two passes.",
                ),
                io.Combo.Input(
                    "order",
                    options=GuidanceOrder,
                    default=GuidanceOrder.IMAGE_FIRST,
                    tooltip="What each scale measures. 'image, then text': what the image prompts change under the negative "
                    "text, then what the text changes beside them. 'text, then image': what the text changes alone, then "
                    "what the image prompts add to it.",
                ),
            ],
            outputs=[io.Guider.Output("GUIDER", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        model: ModelPatcher,
        positive: list[list[Any]],
        negative: list[list[Any]],
        text_scale: float,
        image_scale: float,
        order: str,
    ) -> io.NodeOutput:
        """Makes the guider."""
        guider = ImageGuider(model)
        guider.set_conds(positive, negative)
        guider.set_guidance(ImageGuidance(text_scale, image_scale, GuidanceOrder(order)))
        return io.NodeOutput(guider)


def _scale(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=100.0, step=0.1, round=0.01, tooltip=tooltip)
