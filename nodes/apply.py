"""*Apply IP-Adapter*."""

from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..ipadapter_core.adapter.managed import ManagedAdapter
from ..ipadapter_core.patchers.apply import apply_image_prompt
from ..ipadapter_core.prompt.combine import ReferenceMode
from ..ipadapter_core.prompt.image_prompt import ImagePrompt
from ..ipadapter_core.sampling.identity_method import IdentityMethod
from ..ipadapter_core.sampling.strength import Strength
from ..ipadapter_core.weights.layer_weights import LayerWeights
from ..ipadapter_core.weights.parsing import read_numbers
from ..ipadapter_core.weights.scaling import Scaling
from ..ipadapter_core.weights.schedule import WeightSchedule
from .checked import CheckedNode
from .sockets import CATEGORY, ImagePromptSocket, IPAdapterSocket, LayerWeightsSocket, WeightScheduleSocket


class ApplyIPAdapter(CheckedNode):
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
                ImagePromptSocket.Input("image_prompt", tooltip="The image prompt that steers the model."),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=-1.0,
                    max=5.0,
                    step=0.05,
                    tooltip="How strongly: 0 is no effect, 1 as trained. Lower it when the prompt has too little effect.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where in the run it starts to take effect. Later keeps the prompt's layout and takes on the "
                    "style.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where in the run it stops taking effect. Earlier lets the prompt decide the details.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Where in the result it acts: white fully, black not at all."
                ),
                LayerWeightsSocket.Input(
                    "layer_weights",
                    optional=True,
                    tooltip="From Layer Weights: style only, composition only, single blocks.",
                ),
                WeightScheduleSocket.Input(
                    "weight_schedule",
                    optional=True,
                    tooltip="From Weight Schedule: a multiplier that changes over the run.",
                ),
                io.Combo.Input(
                    "embeds_scaling",
                    options=Scaling,
                    default=Scaling.V_ONLY,
                    optional=True,
                    advanced=True,
                    tooltip="What the weight multiplies. 'V only' is a plain volume knob; with K the model also picks less "
                    "sharply from the reference, which is softer at low weights.",
                ),
                io.Combo.Input(
                    "references",
                    options=ReferenceMode,
                    default=ReferenceMode.TOGETHER,
                    optional=True,
                    advanced=True,
                    tooltip="Every image sees all references together, or image i of the batch sees reference i only and "
                    "the last reference stays for the rest.",
                ),
                io.String.Input(
                    "frame_weights",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Multipliers for the images of a batch in turn: '1, 0.8, 0.5'. The last value repeats.",
                ),
                io.Combo.Input(
                    "identity_method",
                    options=IdentityMethod,
                    default=IdentityMethod.AUTO,
                    optional=True,
                    advanced=True,
                    tooltip="PuLID for SDXL only: likeness (fidelity), more of the prompt's style, or plain attention "
                    "(neutral). auto is what the file was published with.",
                ),
                io.Int.Input(
                    "zero_tokens",
                    default=-1,
                    min=-1,
                    max=256,
                    optional=True,
                    advanced=True,
                    tooltip="PuLID for SDXL only: empty tokens that take attention away from the face. More leave more to the "
                    "prompt; -1 is the method's own number.",
                ),
            ],
            outputs=[
                io.Model.Output("MODEL", tooltip="For a sampler, a ControlNet workflow, or another Apply IP-Adapter.")
            ],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        model: ModelPatcher,
        ip_adapter: ManagedAdapter,
        image_prompt: ImagePrompt,
        weight: float,
        start_percent: float,
        end_percent: float,
        mask: Tensor | None = None,
        layer_weights: LayerWeights | None = None,
        weight_schedule: WeightSchedule | None = None,
        embeds_scaling: str = Scaling.V_ONLY,
        references: str = ReferenceMode.TOGETHER,
        frame_weights: str = "",
        identity_method: str = IdentityMethod.AUTO,
        zero_tokens: int = -1,
    ) -> io.NodeOutput:
        """Patches a clone."""
        frames = read_numbers(frame_weights, "frame_weights of Apply IP-Adapter") or None
        strength = Strength(
            weight,
            start_percent,
            end_percent,
            weight_schedule,
            frames,
            Scaling(embeds_scaling),
            method=IdentityMethod(identity_method),
            zero_tokens=None if zero_tokens < 0 else zero_tokens,
        )
        per_frame = ReferenceMode(references) is ReferenceMode.PER_FRAME
        return io.NodeOutput(
            apply_image_prompt(model, ip_adapter, image_prompt, strength, mask, per_frame, layer_weights)
        )
