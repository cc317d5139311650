"""*Encode Content and Style* and *Encode Instructed Image*."""

from torch import Tensor

from comfy.sd import CLIP
from comfy_api.latest import io, ui

from ..ipadapter_core.adapter.managed import ManagedAdapter
from ..ipadapter_core.encoders.image_encoder import ImageEncoder
from ..ipadapter_core.encoders.multi_image import Words, encode_content_and_style, encode_instructed
from ..ipadapter_core.encoders.options import EncodeOptions
from ..ipadapter_core.images.fit import ResizeMode
from .checked import CheckedNode
from .encode import size_input
from .sockets import CATEGORY, ImagePromptSocket, IPAdapterSocket

FIT_TOOLTIP = (
    "Encoders see a square. As the adapter was trained, or keep the centre or one side of a longer image, pad it, or "
    "stretch it."
)


class EncodeContentAndStyle(CheckedNode):
    """Turns a pair of images into an image prompt."""

    reads_alpha = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreEncodeContentStyle",
            display_name="Encode Content and Style",
            category=CATEGORY,
            description="For CSGO: one image says what is to be seen, the other how it is painted.",
            search_aliases=["csgo", "style transfer", "content and style"],
            inputs=[
                IPAdapterSocket.Input("ip_adapter", tooltip="A CSGO file."),
                io.Image.Input("content", tooltip="What is to be seen; acts in the down blocks."),
                io.Image.Input("style", tooltip="How it is painted; acts in the up blocks."),
                io.ClipVision.Input("clip_vision", tooltip="CLIP ViT-bigG, as SDXL's base adapter has it."),
                io.Combo.Input("fit", options=ResizeMode, default=ResizeMode.TRAINED, tooltip=FIT_TOOLTIP),
                size_input(),
            ],
            outputs=[ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def execute(
        cls,
        ip_adapter: ManagedAdapter,
        content: Tensor,
        style: Tensor,
        clip_vision: ImageEncoder | None,
        fit: str,
        size: int = 0,
    ) -> io.NodeOutput:
        """Encodes the pairs."""
        look = EncodeOptions(ResizeMode(fit), size=size)
        prompt, seen = encode_content_and_style(ip_adapter.spec, clip_vision, content, style, look)
        return io.NodeOutput(prompt, ui=ui.PreviewImage(seen, cls=cls))


class EncodeInstructedImage(CheckedNode):
    """Turns an image and an instruction into an image prompt."""

    reads_alpha = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreEncodeInstructed",
            display_name="Encode Instructed Image",
            category=CATEGORY,
            description="For IP-Adapter-Instruct: a sentence says what should be taken from the reference.",
            search_aliases=["ip-adapter instruct", "instruction", "use the style", "use the colours"],
            inputs=[
                IPAdapterSocket.Input("ip_adapter", tooltip="An IP-Adapter-Instruct file."),
                io.Image.Input("image", tooltip="The reference."),
                io.ClipVision.Input("clip_vision", tooltip="CLIP ViT-H."),
                io.Clip.Input("clip", tooltip="The checkpoint's own text encoder."),
                io.String.Input(
                    "instruction",
                    default="use the style",
                    tooltip="What to take: everything, the style, the colours, the composition, the face, the objects.",
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="The same text that the sampler's positive prompt has.",
                ),
                io.String.Input(
                    "negative_prompt", default="", multiline=True, tooltip="The same text as in the negative prompt."
                ),
                io.Combo.Input("fit", options=ResizeMode, default=ResizeMode.TRAINED, tooltip=FIT_TOOLTIP),
                size_input(),
            ],
            outputs=[ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        ip_adapter: ManagedAdapter,
        image: Tensor,
        clip_vision: ImageEncoder | None,
        clip: CLIP,
        instruction: str,
        prompt: str,
        negative_prompt: str,
        fit: str,
        size: int = 0,
    ) -> io.NodeOutput:
        """Encodes image and words."""
        words = Words(instruction, prompt, negative_prompt)
        look = EncodeOptions(ResizeMode(fit), size=size)
        made, seen = encode_instructed(ip_adapter.spec, clip_vision, clip, image, words, look)
        return io.NodeOutput(made, ui=ui.PreviewImage(seen, cls=cls))
