"""The preset loader end to end on a miniature model, and the nodes' faces."""

import asyncio
from types import SimpleNamespace

import pytest
import torch
from pack.ipadapter_core.encoders.face.encode import FaceOptions, blending
from pack.ipadapter_core.encoders.face.onnx_session import Provider
from pack.ipadapter_core.errors import ModelMismatchError, PresetError
from pack.ipadapter_core.presets import load as preset_loader
from pack.ipadapter_core.presets.catalogue import Preset
from pack.ipadapter_core.presets.load import ModelFolders, load_preset, sizes_of
from pack.ipadapter_core.presets.select_files import Selection
from pack.tools.miniature.face_analysis import face_models
from pack.tools.miniature.faces import loaded, tiny_encoder, weights_of
from pack.tools.miniature.models import tiny_model, widths_of
from skimage import data

pytestmark = pytest.mark.faces


@pytest.fixture
def model_folders(tmp_path, monkeypatch):
    """One FaceID Plus file in miniature, which the choice is told to take: miniatures have no published sizes."""
    weights = weights_of("FaceID Plus", widths_of(tiny_model()), 96, lora=True)
    adapter = loaded(weights, tmp_path, "renamed.safetensors")
    path = tmp_path / "renamed.safetensors"
    chosen = Selection(path, adapter.spec, tmp_path / "vision", "buffalo_l", "adapter: renamed.safetensors")
    monkeypatch.setattr(preset_loader, "select", lambda *_: chosen)
    monkeypatch.setattr(preset_loader, "load_image_encoder", lambda _: tiny_encoder())
    return ModelFolders([path], [], {"buffalo_l": tmp_path / "buffalo_l"})


def test_everything_at_once(model_folders, tmp_path):
    """Adapter, encoder, faces and the LoRA on the model; the version is the preset's, not the file name's."""
    face_models(tmp_path / "buffalo_l", torch.from_numpy(data.astronaut()).float() / 255)
    model = tiny_model()
    found = load_preset(model, Preset.FACEID_PLUS_V2, model_folders, 0.7, Provider.CPU)
    assert found.encoder is not None and found.analysis is not None
    assert not model.patches and len(found.model.patches) == 8 * 16
    assert "weights at 0.7" in found.report and "det_10g.onnx finds faces" in found.report
    assert blending(found.adapter.spec, FaceOptions(structure=0.5)) == (
        (1.0, 0.5),
        "FaceID Plus v2: the preset says so",
    )
    first = load_preset(model, Preset.FACEID_PLUS, model_folders, 0.0, Provider.CPU)
    assert blending(first.adapter.spec, FaceOptions())[0] == (0.0, 1.0)
    assert first.model is model


def test_missing_face_models_are_said_not_raised(model_folders):
    """Another pack's loader can bring them."""
    found = load_preset(tiny_model(), Preset.FACEID_PLUS_V2, model_folders, 1.0, Provider.CPU)
    assert found.analysis is None
    assert "no face analysis" in found.report and "buffalo_l.zip" in found.report


def test_sizes_come_from_the_live_model(monkeypatch):
    """Kolors is told by its text projection; a model without a UNet is refused."""
    model = tiny_model("SDXL")
    assert sizes_of(model)[1:] == (96, False)
    model.model.diffusion_model.encoder_hid_proj = torch.nn.Linear(192, 96)
    assert sizes_of(model).kolors
    other = SimpleNamespace(get_model_object=lambda _: torch.nn.Linear(1, 1), model=torch.nn.Linear(1, 1))
    with pytest.raises(ModelMismatchError, match="presets are for SD1.5, SDXL and Kolors, the model is Linear"):
        sizes_of(other)


def test_an_empty_shelf_says_what_to_download():
    """Through the real choice."""
    with pytest.raises(PresetError, match="exists for SD1.5 and SDXL only, the model has 16"):
        load_preset(tiny_model(), Preset.PLUS, ModelFolders([], [], {}), 1.0, Provider.CPU)


NODES = (
    "LoadFaceAnalysis",
    "EncodeFace",
    "ApplyLora",
    "EncodeContentStyle",
    "EncodeInstructed",
    "LoadPreset",
    "LoadEncoder",
)


@pytest.mark.parametrize("name", NODES)
def test_every_node_explains_itself(name):
    """A tooltip for each input and output, search words, and a help page."""
    from pathlib import Path

    from pack.nodes import IPAdapterCoreExtension

    extension = IPAdapterCoreExtension()
    asyncio.run(extension.on_load())
    nodes = asyncio.run(extension.get_node_list())
    schema = next(node.define_schema() for node in nodes if node.define_schema().node_id == f"IPAdapterCore{name}")
    assert all(part.tooltip for part in (*schema.inputs, *schema.outputs))
    assert schema.search_aliases and schema.description
    page = Path(__file__).parents[2] / "web" / "docs" / f"{schema.node_id}.md"
    text = page.read_text(encoding="utf-8")
    assert all(part.id in text for part in schema.inputs)
