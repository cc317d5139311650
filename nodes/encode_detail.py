"""*Encode Tiled Reference* and *Encode Reference (Tiled Detail)*."""

from torch import Tensor

from comfy_api.latest import io, ui

from ..ipadapter_core.adapter.managed import ManagedAdapter
from ..ipadapter_core.encoders.clip_vision import encode_references
from ..ipadapter_core.encoders.image_encoder import ImageEncoder
from ..ipadapter_core.encoders.options import Detail, EncodeOptions, NegativeChoice
from ..ipadapter_core.encoders.tiled import encode_tiles
from ..ipadapter_core.images.fit import ResizeMode
from .checked import CheckedNode
from .encode import negative_input, shared_inputs, sharpening_input, size_input
from .sockets import CATEGORY, ImagePromptSocket


class EncodeTiledReference(CheckedNode):
    """Turns large or long images into an image prompt, tile by tile."""

    reads_alpha = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        adapter, image, encoder, mask, negative = shared_inputs()
        return io.Schema(
            node_id="IPAdapterCoreEncodeTiled",
            display_name="Encode Tiled Reference",
            category=CATEGORY,
            description="Cuts a large or long image into square tiles; each acts where it was in the image. Nothing is "
            "cropped away, and small things are seen.",
            search_aliases=["ipadapter tiled", "large reference", "panorama", "not square", "tiles", "ip adapter"],
            inputs=[
                adapter,
                image,
                encoder,
                mask,
                io.Int.Input(
                    "tiles",
                    default=0,
                    min=0,
                    max=8,
                    tooltip="Tiles along the shorter side; the longer has as many as it needs. 0: two for an image that is "
                    "nearly square, else one.",
                ),
                negative,
                sharpening_input(),
                size_input(),
                negative_input(),
            ],
            outputs=[
                ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter."),
                io.Image.Output("tiles", tooltip="The tiles as the encoder saw them."),
                io.Mask.Output(
                    "masks", tooltip="Where in the result each tile acts; together they are the whole image."
                ),
            ],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        ip_adapter: ManagedAdapter,
        image: Tensor,
        tiles: int,
        clip_vision: ImageEncoder | None = None,
        mask: Tensor | None = None,
        negative_image: Tensor | None = None,
        sharpening: float = 0.0,
        size: int = 0,
        negative: str = NegativeChoice.TRAINED,
    ) -> io.NodeOutput:
        """Encodes every tile."""
        look = EncodeOptions(mask=mask, sharpening=sharpening, size=size, negative=NegativeChoice(negative))
        made = encode_tiles(ip_adapter.spec, clip_vision, image, look, tiles, negative_image)
        return io.NodeOutput(made.prompt, made.tiles, made.masks, ui=ui.PreviewImage(made.tiles, cls=cls))


class EncodeReferenceInDetail(CheckedNode):
    """Turns images into an image prompt that knows of small things."""

    reads_alpha = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        adapter, image, encoder, mask, negative = shared_inputs()
        return io.Schema(
            node_id="IPAdapterCoreEncodeDetailed",
            display_name="Encode Reference (Tiled Detail)",
            category=CATEGORY,
            description="Looks at an image as a whole and once more in tiles, and puts what it saw in them back in its place. "
            "As many image tokens as before, with more detail in them.",
            search_aliases=["clipvision enhancer", "detail enhancement", "enhance tiles", "fine detail", "ip adapter"],
            inputs=[
                adapter,
                image,
                encoder,
                mask,
                io.Combo.Input(
                    "fit",
                    options=ResizeMode,
                    default=ResizeMode.TRAINED,
                    tooltip="Which part of the image is looked at.",
                ),
                io.Int.Input("tiles", default=2, min=1, max=16, tooltip="Tiles along each side: 2 looks at 4 parts."),
                io.Float.Input(
                    "detail",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much comes from the tiles: 0 is the whole image only, 1 the tiles only.",
                ),
                negative,
                sharpening_input(),
                size_input(),
                negative_input(),
            ],
            outputs=[ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        ip_adapter: ManagedAdapter,
        image: Tensor,
        fit: str,
        tiles: int,
        detail: float,
        clip_vision: ImageEncoder | None = None,
        mask: Tensor | None = None,
        negative_image: Tensor | None = None,
        sharpening: float = 0.0,
        size: int = 0,
        negative: str = NegativeChoice.TRAINED,
    ) -> io.NodeOutput:
        """Encodes whole images and their tiles."""
        close = Detail(tiles, detail)
        look = EncodeOptions(ResizeMode(fit), mask, sharpening, close, size=size, negative=NegativeChoice(negative))
        prompt, seen = encode_references(ip_adapter.spec, clip_vision, image, look, negative_image)
        return io.NodeOutput(prompt, ui=ui.PreviewImage(seen, cls=cls))
