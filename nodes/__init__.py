"""The nodes that ComfyUI shows: schemas, and calls into `ipadapter_core`."""

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyIPAdapter
from .combined import EncodeContentAndStyle, EncodeInstructedImage
from .compare import ComparisonGrid, ScorePictures, SweepIPAdapter
from .encode import EncodeReferenceImage
from .faces import ApplyFaceLora, EncodeFace, LoadFaceAnalysis
from .folders import register_folders
from .layer_weights import LayerWeightsNode
from .load import LoadIPAdapter
from .preset import LoadImageEncoder, LoadPreset
from .references import CombineImagePrompts, WeighReference
from .schedule import WeightScheduleNode
from .watch import AttentionMaps, SaveWithTrace, WatchIPAdapter

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
    WatchIPAdapter,
    AttentionMaps,
    SaveWithTrace,
    SweepIPAdapter,
    ComparisonGrid,
    ScorePictures,
]


class IPAdapterCoreExtension(ComfyExtension):
    """What ComfyUI asks for our nodes."""

    async def on_load(self) -> None:
        """Makes the model folder known."""
        register_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All native nodes."""
        return NODES
