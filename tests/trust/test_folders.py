"""What lies in the model folders: only adapters are offered, all else is named on request, and no preset is stopped."""

import pytest
import torch
from pack.ipadapter_core.presets.catalogue import Preset
from pack.ipadapter_core.presets.select_files import ModelSizes, select
from pack.nodes.folders import adapter_files, model_folders
from pack.nodes.load import LoadIPAdapter
from pack.tools.miniature.files import TEXT, workshop
from pack.tools.miniature.models import adapter_weights
from pack.tools.time_bars import within
from safetensors.torch import save_file

pytestmark = [pytest.mark.trust, pytest.mark.inputs]

WIDTHS = [32] * 16
PLUS = adapter_weights("plus", WIDTHS, TEXT["SD1.5"], feature=1280)
VISION = {"vision_model.embeddings.position_embedding.weight": torch.zeros(257, 1280),
          "vision_model.encoder.layers.31.layer_norm1.weight": torch.zeros(1280),
          "visual_projection.weight": torch.zeros(1024, 1280)}  # fmt: skip


@pytest.fixture
def shop(tmp_path):
    """A folder of each kind."""
    with workshop(tmp_path) as found:
        yield found


def add(shop, name, weights, folder="ipadapter"):
    save_file(weights, shop.place(folder, name))


def spoil(shop):
    """Everything that is no adapter, in both folders."""
    add(shop, "lora.safetensors", {"lora_unet_x.lora_up.weight": torch.zeros(4, 4)})
    for folder in ("ipadapter", "clip_vision"):
        shop.place(folder, "page.safetensors").write_text("<html>")
        shop.place(folder, "gone.safetensors").symlink_to("nowhere.safetensors")


def chosen(preset=Preset.PLUS):
    folders = model_folders()
    return select(preset, ModelSizes(tuple(WIDTHS), TEXT["SD1.5"]), folders.adapters, folders.encoders)


def test_only_adapters_are_offered(shop):
    """A LoRA, a web page and a link to nothing are not; asked for by name, each is told what it is."""
    add(shop, "mine.safetensors", PLUS)
    spoil(shop)
    assert adapter_files() == ["mine.safetensors"]
    assert LoadIPAdapter.validate_inputs("mine.safetensors") is True
    assert LoadIPAdapter.validate_inputs(None) is True
    assert (
        LoadIPAdapter.validate_inputs("../../mine.safetensors") is True
    )  # ComfyUI cuts it off: the file in the folder
    assert "is a LoRA" in LoadIPAdapter.validate_inputs("lora.safetensors")
    assert "it is a web page" in LoadIPAdapter.validate_inputs("page.safetensors")
    for name in (
        "nothing.safetensors",
        "/etc/passwd",
        "gone.safetensors",
        "a\0b",
        "x" * 9000,
        7,
        [],
    ):
        said = LoadIPAdapter.validate_inputs(name)
        assert "is not in models/ipadapter" in said and len(said) < 400


def test_what_cannot_be_read_is_passed_over_and_named(shop):
    """It ended every preset with an error of the system's."""
    add(shop, "mine.safetensors", PLUS)
    add(shop, "vision.safetensors", VISION, "clip_vision")
    spoil(shop)
    found = chosen()
    assert (found.adapter.name, found.encoder.name) == ("mine.safetensors", "vision.safetensors")
    assert "passed over, cannot be read: gone.safetensors, page.safetensors" in found.report


@pytest.mark.parametrize(
    "name", ["ip-adapter-plus_sd15.safetensors", "ip-adapter-plus_sd15.bin", "IP-Adapter-PLUS_sd15.bin"]
)
def test_the_published_name_wins(name, shop):
    """Against another file of the same structure that sorts before it, or whose name has as many of the words."""
    add(shop, "another_plus_sd15.safetensors", PLUS)
    add(shop, "a plus plus for sd15.safetensors", PLUS)
    add(shop, name, PLUS)
    add(shop, "a.safetensors", VISION, "clip_vision")
    add(shop, "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", VISION, "clip_vision")
    found = chosen()
    assert found.adapter.name == name and "it has the published file's name" in found.report
    assert found.encoder.name == "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"


def test_five_hundred_files_are_listed_at_once_the_second_time(shop):
    """Headers are read once, of files that are none, too."""
    for number in range(250):
        shop.place("ipadapter", f"{number}.safetensors").write_text("<html>")
        add(shop, f"lora{number}.safetensors", {"x.lora_up.weight": torch.zeros(1, 1)})
    add(shop, "mine.safetensors", PLUS)
    assert adapter_files() == ["mine.safetensors"]
    with within(0.1):
        assert adapter_files() == ["mine.safetensors"]
