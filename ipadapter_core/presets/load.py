"""From a preset and a model to everything that it takes: adapter, image encoder, face models, LoRA."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..adapter.load import load_adapter
from ..adapter.managed import ManagedAdapter
from ..checkpoint.enums import FormatName
from ..checkpoint.spec import AdapterSpec
from ..encoders.face.analysis import FaceAnalysis, load_analysis
from ..encoders.face.onnx_session import Provider
from ..encoders.load import load_image_encoder
from ..errors import FaceAnalysisError, ModelMismatchError
from ..patchers.faceid_lora import apply_lora
from ..patchers.families.unet import is_unet, layer_map
from .catalogue import Preset
from .select_files import ModelSizes, Selection, select

VERSIONS = {Preset.FACEID_PLUS: FormatName.FACEID_PLUS, Preset.FACEID_PLUS_V2: FormatName.FACEID_PLUS_V2}


class ModelFolders(NamedTuple):
    """Where to look: adapter files, image encoder files, and folders of face models by name."""

    adapters: Sequence[Path]
    encoders: Sequence[Path]
    face_models: Mapping[str, Path]


class LoadedPreset(NamedTuple):
    """What a preset brings; None for what it does not need. `report` says what was chosen and why."""

    model: Any
    adapter: ManagedAdapter
    encoder: Any
    analysis: FaceAnalysis | None
    report: str


def load_preset(
    model: Any, preset: Preset, model_folders: ModelFolders, lora_strength: float, provider: Provider
) -> LoadedPreset:
    """Chooses and loads; the model comes back with the LoRA of a FaceID file.

    Raises `PresetError` with what to download when the adapter or its image encoder is missing. Missing face models are
    said in the report, because another pack's loader can bring them.
    """
    chosen = select(preset, sizes_of(model), model_folders.adapters, model_folders.encoders)
    adapter = load_adapter(str(chosen.adapter))
    adapter = replace(adapter, spec=_named(adapter.spec, preset))
    encoder = load_image_encoder(chosen.encoder) if chosen.encoder else None
    analysis, said = _face_analysis(chosen, model_folders, provider)
    lines = [chosen.report, said]
    if adapter.spec.lora_rank and lora_strength:
        patched = apply_lora(model, adapter, lora_strength)
        model = patched.model
        lines.append(patched.report)
    return LoadedPreset(model, adapter, encoder, analysis, "\n".join(line for line in lines if line))


def sizes_of(model: Any) -> ModelSizes:
    """What a UNet's cross-attention tells; raises `ModelMismatchError` for other models."""
    network = model.get_model_object("diffusion_model")
    if not is_unet(network):
        raise ModelMismatchError(
            f"presets are for SD1.5, SDXL and Kolors, the model is {type(model.model).__name__}: load its adapter with Load "
            "IP-Adapter"
        )
    layers = layer_map(network)
    kolors = hasattr(network, "encoder_hid_proj") or hasattr(model.model, "encoder_hid_proj")
    return ModelSizes(tuple(layer.width for layer in layers), layers[0].context_width, kolors)


def _named(spec: AdapterSpec, preset: Preset) -> AdapterSpec:
    """FaceID Plus and Plus V2 have the same tensors; the preset says which of them the file is."""
    return replace(spec, format=VERSIONS[preset]) if preset in VERSIONS else spec


def _face_analysis(
    chosen: Selection, model_folders: ModelFolders, provider: Provider
) -> tuple[FaceAnalysis | None, str]:
    if chosen.face_models is None:
        return None, ""
    try:
        loaded = load_analysis(model_folders.face_models[chosen.face_models], provider)
    except FaceAnalysisError as error:
        return None, f"no face analysis: {error}"
    return loaded.analysis, loaded.report
