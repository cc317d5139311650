"""*New IP-Adapter*."""

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui

from ..ipadapter_core.encoders.image_encoder import ImageEncoder
from ..ipadapter_core.limits import DEPTH, TOKENS, WIDTH
from ..ipadapter_core.training.new_adapter import Numbers, Size, new_adapter
from .checked import CheckedNode
from .socket_readers import SEEDS
from .sockets import TRAINING, IPAdapterSocket


def _number(name: str, most: int, tooltip: str) -> io.Input:
    return io.Int.Input(name, default=0, min=0, max=most, optional=True, advanced=True, tooltip=tooltip)


class NewIPAdapter(CheckedNode):
    """Makes an adapter that has learned nothing yet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreNew",
            display_name="New IP-Adapter",
            category=TRAINING,
            description="Makes an untrained IP-Adapter for a model and an image encoder, with the sizes of the published ones. "
            "Its keys and values begin as the model's own for text.",
            search_aliases=["create ip adapter", "train ip adapter", "ipadapter from scratch", "image prompt training"],
            inputs=[
                io.Model.Input("model", tooltip="The model that the adapter will be trained for."),
                io.ClipVision.Input("clip_vision", tooltip="The image encoder that the adapter will read."),
                io.Combo.Input(
                    "size",
                    options=Size,
                    default=Size.BASE,
                    tooltip="Base reads one vector of the image: style and content. Plus reads every patch: more detail, "
                    "and a larger file. Transformers have one kind, with as many tokens.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=SEEDS - 1,
                    tooltip="For what begins at random: the projector's weights.",
                ),
                _number("tokens", TOKENS, "Image tokens of each reference; 0 takes the size's own."),
                _number(
                    "width", WIDTH, "Channels inside the projector of a plus adapter; 0 follows the published ones."
                ),
                _number("depth", DEPTH, "Blocks of the projector of a plus adapter; 0 follows the published ones."),
            ],
            outputs=[IPAdapterSocket.Output("ip_adapter", tooltip="For Train IP-Adapter; as it is, it shows noise.")],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        model: ModelPatcher,
        clip_vision: ImageEncoder,
        size: str,
        seed: int,
        tokens: int = 0,
        width: int = 0,
        depth: int = 0,
    ) -> io.NodeOutput:
        """Makes it."""
        adapter = new_adapter(model, clip_vision, Size(size), Numbers(tokens, width, depth), seed)
        return io.NodeOutput(adapter, ui=ui.PreviewText(adapter.spec.describe()))
