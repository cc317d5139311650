"""Every file that a workflow wants is told to ComfyUI's *missing models* dialog: name, address, folder, no invented hash."""

import json
import re

import pytest
from pack.tools.environment import ROOT

pytestmark = pytest.mark.tool

FILES = sorted((ROOT / "workflows").glob("*.json"))
SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pth", ".pt")  # what the dialog downloads (frontend 1.58.1)
BY_HAND = {  # published in this form alone
    "instantx-flux1-dev-ip-adapter.bin",
    "instantx-sd3.5-large-ip-adapter.bin",
    "instantcharacter_ip-adapter.bin",
}
BESIDE = {  # found in their folder whatever their names, so that no widget names them
    "parsing_bisenet.pth",
    "recognition_arcface_ir_se50.pth",
    "lynx_lite_resampler_fp32.safetensors",
}
SHIPPED = re.compile(r"demo_world_.*\.safetensors")  # come with the pack
MODEL = re.compile(r".*\.(safetensors|sft|ckpt|pth|pt|bin|onnx|gguf)")
ADDRESS = re.compile(r"https://huggingface\.co/[\w.-]+/[\w.-]+/resolve/main/[\w./-]+")
FOLDERS = {"checkpoints", "clip_vision", "controlnet", "diffusion_models", "ipadapter", "loras", "text_encoders", "vae"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_chosen_file_is_told(file):
    """By the node that names it, under the name that its widget has; the dialog can download all but those `BY_HAND`."""
    workflow = json.loads(file.read_text(encoding="utf-8"))
    for node in workflow["nodes"]:
        chosen = {value for value in node["widgets_values"] if isinstance(value, str) and MODEL.fullmatch(value)}
        told = [one for one in node["properties"].get("models", []) if one["name"] not in BESIDE]
        assert {one["name"] for one in told} == {name for name in chosen if not SHIPPED.fullmatch(name)}, node["type"]
        for one in told:
            assert one.keys() == {"name", "url", "directory"} and one["directory"] in FOLDERS
            assert ADDRESS.fullmatch(one["url"])
            assert one["name"].endswith(SUFFIXES) != (one["name"] in BY_HAND)


def test_published_workflows_name_files():
    """The test above has something to look at in every workflow that is not the demo world's."""
    for file in FILES:
        named = '"directory"' in file.read_text(encoding="utf-8")
        assert named != ("DemoWorldLoad" in file.read_text(encoding="utf-8")), file.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_node_says_which_pack_it_is_from(file):
    """By the name under which ComfyUI Manager installs it; it is that of pyproject.toml."""
    pack = re.search(r'^name = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
    nodes = json.loads(file.read_text(encoding="utf-8"))["nodes"]
    packs = {node["type"]: node["properties"].get("cnr_id") for node in nodes}
    assert {name for kind, name in packs.items() if kind.startswith("IPAdapterCore")} == {pack}
    assert packs["VAEDecode"] == "comfy-core"
