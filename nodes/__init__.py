"""The nodes that ComfyUI shows: schemas, and calls into `ipadapter_core`."""

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyIPAdapter
from .encode import EncodeReferenceImage
from .folders import register_folders
from .layer_weights import LayerWeightsNode
from .load import LoadIPAdapter
from .load_encoder import LoadImageEncoder
from .references import CombineImagePrompts, WeighReference
from .schedule import WeightScheduleNode

NODES: list[type[io.ComfyNode]] = [
    LoadIPAdapter,
    LoadImageEncoder,
    EncodeReferenceImage,
    ApplyIPAdapter,
    LayerWeightsNode,
    WeightScheduleNode,
    CombineImagePrompts,
    WeighReference,
]


class IPAdapterCoreExtension(ComfyExtension):
    """What ComfyUI asks for our nodes."""

    async def on_load(self) -> None:
        """Makes the model folder known."""
        register_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All native nodes."""
        return NODES
