"""*Encode Reference Image*."""

from torch import Tensor

from comfy_api.latest import io, ui

from ..ipadapter_core.adapter.managed import ManagedAdapter
from ..ipadapter_core.encoders.image_encoder import ImageEncoder
from ..ipadapter_core.encoders.one_image import encode_one_by_one
from ..ipadapter_core.encoders.options import EncodeOptions, MaskUse, NegativeChoice
from ..ipadapter_core.images.fit import ResizeMode
from ..ipadapter_core.limits import ENCODER_SIDE
from .checked import CheckedNode
from .sockets import CATEGORY, ImagePromptSocket, IPAdapterSocket


def shared_inputs() -> tuple[io.Input, io.Input, io.Input, io.Input, io.Input]:
    """What every node that encodes images asks for: adapter, image, encoder, mask and negative image."""
    return (
        IPAdapterSocket.Input("ip_adapter", tooltip="Says which features of the image are needed."),
        io.Image.Input("image", tooltip="The reference. Each image of a batch is a reference of its own."),
        io.ClipVision.Input(
            "clip_vision",
            optional=True,
            tooltip="The image encoder that the adapter was trained with; Load IP-Adapter names it.",
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="What to look at in the reference: white is seen, black becomes a neutral grey.",
        ),
        io.Image.Input(
            "negative_image",
            optional=True,
            tooltip="What the result should move away from; without it the neutral image of the training is used.",
        ),
    )


def sharpening_input() -> io.Input:
    """Sharpens what the encoder sees."""
    return io.Float.Input(
        "sharpening",
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.05,
        optional=True,
        advanced=True,
        tooltip="Sharpens the small square that the encoder sees: a soft image then gives more texture.",
    )


def size_input() -> io.Input:
    """Lets the encoder look at larger or smaller squares than it was trained on."""
    return io.Int.Input(
        "size",
        default=0,
        min=0,
        max=ENCODER_SIDE,
        optional=True,
        advanced=True,
        tooltip="The side of the square that the encoder sees, in pixels: 0 is its own. Only for adapters that were trained "
        "at another size, such as 448 for a finetune of NoobAI; a multiple of the encoder's patches.",
    )


def negative_input() -> io.Input:
    """What the negative pass sees where no image is connected for it."""
    return io.Combo.Input(
        "negative",
        options=NegativeChoice,
        default=NegativeChoice.TRAINED,
        optional=True,
        advanced=True,
        tooltip="What the negative pass sees without negative_image: the neutral image of the training, or plain grey, which "
        "Anima's own node offers.",
    )


class EncodeReferenceImage(CheckedNode):
    """Turns images into an image prompt."""

    reads_alpha = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        adapter, image, encoder, mask, negative = shared_inputs()
        return io.Schema(
            node_id="IPAdapterCoreEncode",
            display_name="Encode Reference Image",
            category=CATEGORY,
            description="Turns reference images into an image prompt, and shows exactly the pixels that the encoder saw.",
            search_aliases=["ip adapter encode", "image prompt", "reference image", "style reference"],
            inputs=[
                adapter,
                image,
                encoder,
                mask,
                io.Combo.Input(
                    "fit",
                    options=ResizeMode,
                    default=ResizeMode.TRAINED,
                    tooltip="Encoders see a square. As the adapter was trained, or keep the centre or one side of a longer "
                    "image, pad it to keep everything, or stretch it.",
                ),
                negative,
                sharpening_input(),
                io.Combo.Input(
                    "mask_use",
                    options=MaskUse,
                    default=MaskUse.PIXELS,
                    optional=True,
                    advanced=True,
                    tooltip="What the mask hides: pixels from the encoder, or, of a plus adapter, patches after the encoder "
                    "has seen the whole image. Patches leave no grey behind.",
                ),
                size_input(),
                negative_input(),
                io.ClipVision.Input(
                    "second_clip_vision",
                    optional=True,
                    tooltip="For adapters that look through two encoders: InstantCharacter reads SigLIP-so400m-384 and "
                    "DINOv2-giant, in either order.",
                ),
            ],
            outputs=[ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        ip_adapter: ManagedAdapter,
        image: Tensor,
        fit: str,
        clip_vision: ImageEncoder | None = None,
        mask: Tensor | None = None,
        negative_image: Tensor | None = None,
        sharpening: float = 0.0,
        mask_use: str = MaskUse.PIXELS,
        size: int = 0,
        negative: str = NegativeChoice.TRAINED,
        second_clip_vision: ImageEncoder | None = None,
    ) -> io.NodeOutput:
        """Encodes every image of the batch."""
        look = EncodeOptions(
            ResizeMode(fit),
            mask,
            sharpening,
            mask_use=MaskUse(mask_use),
            size=size,
            negative=NegativeChoice(negative),
        )
        encoders = clip_vision, second_clip_vision
        prompt, seen = encode_one_by_one(ip_adapter.spec, encoders, image, look, negative_image)
        return io.NodeOutput(prompt, ui=ui.PreviewImage(seen, cls=cls))
