"""The nodes that ComfyUI shows: schemas, and calls into `ipadapter_core`."""

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyIPAdapter
from .combined import EncodeContentAndStyle, EncodeInstructedImage
from .compat import nodes_with_free_ids
from .encode import EncodeReferenceImage
from .faces import ApplyFaceLora, EncodeFace, LoadFaceAnalysis
from .folders import register_folders
from .layer_weights import LayerWeightsNode
from .load import LoadIPAdapter
from .preset import LoadImageEncoder, LoadPreset
from .references import CombineImagePrompts, WeighReference
from .schedule import WeightScheduleNode

NODES: list[type[io.ComfyNode]] = [
    LoadIPAdapter,
    EncodeReferenceImage,
    ApplyIPAdapter,
    LoadFaceAnalysis,
    EncodeFace,
    ApplyFaceLora,
    EncodeContentAndStyle,
    EncodeInstructedImage,
    LoadPreset,
    LoadImageEncoder,
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
        """All native nodes, and the old ones whose ids nobody else has."""
        return [*NODES, *nodes_with_free_ids()]
