"""The nodes that ComfyUI shows: schemas, and calls into `ipadapter_core`."""

from comfy_api.latest import ComfyExtension, io

from ..ipadapter_core.import_name import publish
from ..ipadapter_core.patchers.hooks.hook_support import warn_of_older_comfyui
from .apply import ApplyIPAdapter
from .combine import CombineImagePrompts, WeighReference
from .comparison import ComparisonGrid, ScorePictures, SweepIPAdapter
from .compat import nodes_with_free_ids
from .compat.replacements import register_replacements
from .encode import EncodeReferenceImage
from .encode_detail import EncodeReferenceInDetail, EncodeTiledReference
from .encode_multi_image import EncodeContentAndStyle, EncodeInstructedImage
from .faces import ApplyFaceLora, EncodeFace, LoadFaceAnalysis
from .folders import register_folders
from .frames import FrameWeights, PromptsOverFrames, ReferencesOverFrames
from .image_guider import ImagePromptGuider
from .layer_weights import LayerWeightsNode
from .load import LoadIPAdapter
from .new_adapter import NewIPAdapter
from .noise import NoiseForNegative
from .presets import LoadImageEncoder, LoadPreset
from .prompt_files import LoadImagePrompt, LoadImagePromptFromPNG, SaveImagePrompt
from .recording import AttentionMaps, SaveWithTrace, WatchIPAdapter
from .regions import RegionalImagePrompts
from .save_adapter import SaveIPAdapter
from .scale_applied import ScaleImagePrompts
from .schedule import WeightScheduleNode
from .style_composition import ApplyStyleAndComposition
from .train_adapter import TrainIPAdapter
from .words import WordsForReference

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
    RegionalImagePrompts,
    WordsForReference,
    ApplyStyleAndComposition,
    ScaleImagePrompts,
    ImagePromptGuider,
    EncodeTiledReference,
    EncodeReferenceInDetail,
    NoiseForNegative,
    SaveImagePrompt,
    LoadImagePrompt,
    LoadImagePromptFromPNG,
    FrameWeights,
    ReferencesOverFrames,
    PromptsOverFrames,
    WatchIPAdapter,
    AttentionMaps,
    SaveWithTrace,
    SweepIPAdapter,
    ComparisonGrid,
    ScorePictures,
    NewIPAdapter,
    TrainIPAdapter,
    SaveIPAdapter,
]


class IPAdapterCoreExtension(ComfyExtension):
    """What ComfyUI asks for our nodes."""

    async def on_load(self) -> None:
        """Makes our folders and import name known, and which nodes stand in for old ones; warns of too old a ComfyUI."""
        warn_of_older_comfyui()
        register_folders()
        publish()
        await register_replacements()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All native nodes, and the old ones whose ids nobody else has."""
        return [*NODES, *nodes_with_free_ids()]
