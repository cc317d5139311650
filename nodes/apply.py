"""*Apply IP-Adapter*."""

from comfy_api.latest import io

from ..ipadapter_core.application import Strength
from ..ipadapter_core.patchers.apply import apply_image_prompt
from .sockets import CATEGORY, ImagePromptSocket, IPAdapterSocket


class ApplyIPAdapter(io.ComfyNode):
    """Makes a model attend to an image prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreApply",
            display_name="Apply IP-Adapter",
            category=CATEGORY,
            description="Lets an image prompt steer the model beside the text. Several of these nodes can follow each other.",
            search_aliases=["ip adapter", "ipadapter advanced", "image prompt", "style transfer", "reference image"],
            inputs=[
                io.Model.Input("model", tooltip="The model to steer; it is not changed, a patched copy comes out."),
                IPAdapterSocket.Input("ip_adapter", tooltip="The adapter that the image prompt was encoded for."),
                ImagePromptSocket.Input("image_prompt", tooltip="What to be steered by."),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=-1.0,
                    max=5.0,
                    step=0.05,
                    tooltip="How strongly: 0 is no effect, 1 as trained. Lower it when the prompt is drowned.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where in the run it begins to act. Later keeps the prompt's layout and takes on the style.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where in the run it stops to act. Earlier lets the prompt decide the details.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Where in the result it acts: white fully, black not at all."
                ),
            ],
            outputs=[
                io.Model.Output("MODEL", tooltip="For a sampler, a ControlNet graph, or another Apply IP-Adapter.")
            ],
        )

    @classmethod
    def execute(cls, model, ip_adapter, image_prompt, weight, start_percent, end_percent, mask=None) -> io.NodeOutput:
        """Patches a clone."""
        strength = Strength(weight, start_percent, end_percent)
        return io.NodeOutput(apply_image_prompt(model, ip_adapter, image_prompt, strength, mask))
