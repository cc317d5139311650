"""*Combine Image Prompts* and *Set Reference Weight*."""

from collections.abc import Mapping

from torch import Tensor

from comfy_api.latest import io

from ..ipadapter_core.prompt.combine import Combination, MaskBatch, combine, weigh
from ..ipadapter_core.prompt.image_prompt import ImagePrompt
from ..ipadapter_core.weights.parsing import read_numbers
from .checked import CheckedNode
from .sockets import CATEGORY, ImagePromptSocket

PREFIX = "image_prompt"


class CombineImagePrompts(CheckedNode):
    """Makes one image prompt of several."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        socket = ImagePromptSocket.Input(PREFIX, tooltip="From Encode Reference Image, all for the same IP-Adapter.")
        return io.Schema(
            node_id="IPAdapterCoreCombine",
            display_name="Combine Image Prompts",
            category=CATEGORY,
            description="Makes one image prompt of several: side by side, or mixed before the adapter reads them.",
            search_aliases=["combine embeds", "average embeds", "concat", "several reference images", "ip adapter"],
            inputs=[
                io.Autogrow.Input(
                    "image_prompts",
                    template=io.Autogrow.TemplatePrefix(socket, prefix=PREFIX, min=1, max=50),
                    tooltip="The prompts to combine; another socket appears when the last one is connected.",
                ),
                io.Combo.Input(
                    "method",
                    options=Combination,
                    default=Combination.CONCAT,
                    tooltip="concat shows the model every reference, and each part of the image takes what suits it. The "
                    "others mix all references into one: average blends, subtract takes the others' traits out of the first.",
                ),
                io.String.Input(
                    "weights",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="How much each prompt counts, in order: '1, 0.5'. Missing weights are 1.",
                ),
            ],
            outputs=[ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def execute(cls, image_prompts: Mapping[str, ImagePrompt], method: str, weights: str = "") -> io.NodeOutput:
        """Combines in the order of the sockets."""
        names = sorted(image_prompts, key=lambda name: int(name.removeprefix(PREFIX)))
        numbers = read_numbers(weights, "weights of Combine Image Prompts")
        return io.NodeOutput(combine([image_prompts[name] for name in names], Combination(method), numbers))


class WeighReference(CheckedNode):
    """Says how strongly and where references act."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreWeighReference",
            display_name="Set Reference Weight",
            category=CATEGORY,
            description="Gives the references of an image prompt a weight and a place in the result.",
            search_aliases=["reference weight", "reference mask", "regional reference", "attention mask", "ip adapter"],
            inputs=[
                ImagePromptSocket.Input("image_prompt", tooltip="One reference, or several of a batch."),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=-1.0,
                    max=5.0,
                    step=0.05,
                    tooltip="How strongly these references act beside others: 0 takes them out.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where in the result these references act: white fully, black not at all.",
                ),
                io.Combo.Input(
                    "mask_batch",
                    options=MaskBatch,
                    default=MaskBatch.PER_REFERENCE,
                    optional=True,
                    advanced=True,
                    tooltip="What several masks belong to: mask i to reference i, or mask i to image i of the result.",
                ),
            ],
            outputs=[
                ImagePromptSocket.Output(
                    "image_prompt", tooltip="For Combine Image Prompts (concat) or Apply IP-Adapter."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        image_prompt: ImagePrompt,
        weight: float,
        mask: Tensor | None = None,
        mask_batch: str = MaskBatch.PER_REFERENCE,
    ) -> io.NodeOutput:
        """Makes a prompt over the same encoded images."""
        return io.NodeOutput(weigh(image_prompt, weight, mask, MaskBatch(mask_batch)))
