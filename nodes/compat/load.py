"""The loaders."""

import logging
from typing import Any

from comfy_api.latest import io

from ...ipadapter_core.adapter.load import load_adapter
from ...ipadapter_core.compat.pipeline import AdapterModel, Pipeline
from ...ipadapter_core.encoders.face.analysis import load_analysis
from ...ipadapter_core.encoders.face.onnx_session import Provider
from ...ipadapter_core.presets.catalogue import Preset
from ...ipadapter_core.presets.load import load_preset
from ..folders import FACE_MODELS, adapter_files, adapter_path, face_model_folders, model_folders
from .inputs import InsightFaceSocket, OldAdapterSocket, adapter, choice, number, other_schema
from .methods import LOAD_FACES, LOAD_FILE, LOAD_PRESET
from .old_node import OldNode, called_as

logger = logging.getLogger(__name__)

PICTURES = {
    "LIGHT - SD1.5 only (low strength)": Preset.LIGHT,
    "STANDARD (medium strength)": Preset.STANDARD,
    "VIT-G (medium strength)": Preset.VIT_G,
    "PLUS (high strength)": Preset.PLUS,
    "PLUS FACE (portraits)": Preset.PLUS_FACE,
    "FULL FACE - SD1.5 only (portraits stronger)": Preset.FULL_FACE,
}
FACES = {
    "FACEID": Preset.FACEID,
    "FACEID PLUS - SD1.5 only": Preset.FACEID_PLUS,
    "FACEID PLUS V2": Preset.FACEID_PLUS_V2,
    "FACEID PORTRAIT (style transfer)": Preset.PORTRAIT,
    "FACEID PORTRAIT UNNORM - SDXL only (strong)": Preset.PORTRAIT_UNNORM,
}
COMMUNITY = {"Composition": Preset.COMPOSITION, "Kolors": Preset.KOLORS}
PROVIDERS = {
    "CPU": Provider.CPU,
    "CUDA": Provider.CUDA,
    "ROCM": Provider.ROCM,
    "DirectML": Provider.DIRECTML,
    "OpenVINO": Provider.OPENVINO,
    "CoreML": Provider.COREML,
}


def _inputs(presets: dict[str, Preset], *further: io.Input) -> list[io.Input]:
    model = io.Model.Input("model", tooltip="The model that the files have to fit.")
    return [model, choice("preset", list(presets), "Which adapter."), *further, adapter(optional=True)]


def _outputs(model: str) -> list[io.Output]:
    return [io.Model.Output(display_name=model), OldAdapterSocket.Output(display_name="ipadapter")]


@called_as(LOAD_PRESET)
class OldUnifiedLoader(OldNode):
    """*IPAdapter Unified Loader*."""

    presets = PICTURES

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        node = ("IPAdapterUnifiedLoader", "IPAdapter Unified Loader", "ipadapter")
        return other_schema(*node, _inputs(PICTURES), _outputs("model"))

    @classmethod
    def execute(
        cls, model: Any, preset: str, lora_strength: float = 0.0, provider: str = "CPU", ipadapter: Any = None
    ) -> io.NodeOutput:
        """Looks for files by what is in them; the pipeline of another loader is not needed to share them."""
        found = load_preset(model, cls.presets[preset], model_folders(), lora_strength, PROVIDERS[provider])
        logger.info("IP-Adapter: %s", found.report)
        pipeline = Pipeline(found.adapter, found.encoder, found.analysis)
        return io.NodeOutput(found.model, pipeline.as_dict(provider))


class OldUnifiedLoaderFaceID(OldUnifiedLoader):
    """*IPAdapter Unified Loader FaceID*."""

    presets = FACES

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        lora = number("lora_strength", "Of the LoRA inside the file.", (0, 1), 0.6, 0.01)
        provider = choice("provider", list(PROVIDERS), "What runs the face models.")
        node = ("IPAdapterUnifiedLoaderFaceID", "IPAdapter Unified Loader FaceID", "ipadapter/faceid")
        return other_schema(*node, _inputs(FACES, lora, provider), _outputs("MODEL"))


class OldUnifiedLoaderCommunity(OldUnifiedLoader):
    """*IPAdapter Unified Loader Community*."""

    presets = COMMUNITY

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        node = ("IPAdapterUnifiedLoaderCommunity", "IPAdapter Unified Loader Community", "ipadapter/loaders")
        return other_schema(*node, _inputs(COMMUNITY), _outputs("model"))


@called_as(LOAD_FILE)
class OldModelLoader(OldNode):
    """*IPAdapter Model Loader*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        file = choice("ipadapter_file", adapter_files(), "A file in models/ipadapter.")
        outputs = [OldAdapterSocket.Output(display_name="IPADAPTER")]
        node = ("IPAdapterModelLoader", "IPAdapter Model Loader", "ipadapter/loaders")
        return other_schema(*node, [file], outputs)

    @classmethod
    def execute(cls, ipadapter_file: str) -> io.NodeOutput:
        """The adapter alone."""
        return io.NodeOutput(AdapterModel(load_adapter(str(adapter_path(ipadapter_file)))))


@called_as(LOAD_FACES)
class OldInsightFaceLoader(OldNode):
    """*IPAdapter InsightFace Loader*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [
            choice("provider", list(PROVIDERS)[:3], "What runs the face models."),
            choice("model_name", list(FACE_MODELS), "buffalo_l for FaceID, antelopev2 for Kolors."),
        ]
        outputs = [InsightFaceSocket.Output(display_name="INSIGHTFACE")]
        node = ("IPAdapterInsightFaceLoader", "IPAdapter InsightFace Loader", "ipadapter/loaders")
        return other_schema(*node, inputs, outputs)

    @classmethod
    def execute(cls, provider: str, model_name: str = "buffalo_l") -> io.NodeOutput:
        """Opens two sessions."""
        return io.NodeOutput(load_analysis(face_model_folders()[model_name], PROVIDERS[provider]).analysis)


NODES = [
    OldUnifiedLoader,
    OldUnifiedLoaderFaceID,
    OldModelLoader,
    OldInsightFaceLoader,
    OldUnifiedLoaderCommunity,
]
