"""Workflows of old nodes on the demo world, in both formats and after their migration, in a real server."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from comfy_cli.workflow_to_api import convert_ui_to_api
from pack.demo.load import ENCODER_FILE, WEIGHTS
from pack.tests.oracles.old_graphs import FACE, PLUS, PORTRAIT
from pack.tests.oracles.old_workflows import GRAPHS, old_workflow
from pack.tools.comfyui.api_prompt import node
from pack.tools.comfyui.client import ComfyClient, GraphError
from pack.tools.comfyui.server import ROOT, ComfyServer, Mounts
from pack.tools.demo.picture_grid import pixels
from pack.tools.migrate.main import migrate
from pack.tools.miniature.face_analysis import face_models
from pack.tools.miniature.faces import weights_of
from pack.tools.miniature.models import adapter_weights
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage import data

pytestmark = [pytest.mark.catalogue, pytest.mark.server]

DEMO_ADAPTER = WEIGHTS / "ipadapter" / "demo_world_ip_adapter.safetensors"
CANNOT = {"weights"}  # images over frames are laid out otherwise
OF_KNOWN_UNETS = {
    "weight_types",
    "style_composition",
    "precise_weight_type",
    "precise_composition",
}  # by native presets


def sizes() -> tuple[list[int], int, int]:
    """Layer widths in file order, the width of the text, and that of an encoder's hidden states."""
    with safe_open(DEMO_ADAPTER, "pt") as file:
        names = file.keys()
        keys = sorted((key for key in names if "to_k_ip" in key), key=lambda key: int(key.split(".")[1]))
        shapes = [file.get_slice(key).get_shape() for key in keys]
    hidden = json.loads((ROOT / "demo" / "clip_vision.json").read_text())["hidden_size"]
    return [shape[0] for shape in shapes], shapes[0][1], hidden


@pytest.fixture(scope="module")
def old_client(tmp_path_factory):
    """A server with a plus and a FaceID adapter for the demo world, its image encoder as a file, and face models."""
    base = tmp_path_factory.mktemp("old")
    adapters, encoders = base / "adapters", base / "encoders"
    (encoders / "demo").mkdir(parents=True)
    adapters.mkdir()
    widths, text, hidden = sizes()
    plus = adapter_weights("plus", widths, text, feature=hidden)
    save_file(plus, adapters / PLUS)
    save_file(weights_of("FaceID", widths, text, lora=True), adapters / FACE)
    save_file(
        {key: one.float() for key, one in load_file(WEIGHTS / ENCODER_FILE).items()},
        encoders / "demo" / "model.safetensors",
    )
    (encoders / "demo" / "config.json").write_text((ROOT / "demo" / "clip_vision.json").read_text())
    portrait = data.astronaut()
    face_models(base / "models" / "insightface" / "models" / "buffalo_l", torch.from_numpy(portrait).float() / 255)
    (base / "input").mkdir()
    Image.fromarray(portrait).save(base / "input" / PORTRAIT)
    mounts = Mounts(model_folders={"ipadapter": adapters, "clip_vision": encoders})
    with ComfyServer(Path(sys.executable), Path(os.environ["COMFYUI_PATH"]), folder=base, mounts=mounts) as server:
        yield ComfyClient(server.url)


def picture(client, prompt) -> bytes:
    """The pixels of the images that a workflow saves."""
    images = client.run(prompt)[node(prompt, "SaveImage")]["images"]
    return b"".join(pixels(client.picture(entry)).tobytes() for entry in images)


def without(prompt) -> dict:
    """The workflow with its sampler on the bare model."""
    world = node(prompt, "DemoWorldLoad")
    bare = {name: entry | {"inputs": dict(entry["inputs"])} for name, entry in prompt.items()}
    for entry in bare.values():
        if entry["class_type"] in ("KSampler", "DualCFGGuider"):
            entry["inputs"]["model"] = [world, 0]
    return bare


@pytest.mark.parametrize("name", GRAPHS)
def test_catalogue_old_graph_runs(old_client, name):
    """The file of the browser and the API prompt give the same image, which is not that of the bare model."""
    info = old_client.object_info()
    graph = GRAPHS[name]()
    prompt = convert_ui_to_api(json.loads(json.dumps(old_workflow(graph, info))), info)
    assert {entry["inputs"].get("results", "corrected") for entry in prompt.values()} == {"corrected"}
    made = picture(old_client, graph.prompt())
    assert picture(old_client, prompt) == made != picture(old_client, without(prompt))


@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in CANNOT])
def test_catalogue_migrated_graph_runs(old_client, name):
    """Both formats migrate whole, to native nodes that give one image."""
    info = old_client.object_info()
    graph = GRAPHS[name]()
    by_api = migrate(graph.prompt())
    by_file = migrate(json.loads(json.dumps(old_workflow(graph, info))))
    assert not by_api.stayed and not by_file.stayed and by_api.changed
    kinds = {entry["class_type"] for entry in by_api.content.values()}
    assert not [
        kind for kind in kinds if kind.startswith(("IPAdapter", "IPAA")) and not kind.startswith("IPAdapterCore")
    ]
    if name in OF_KNOWN_UNETS:
        with pytest.raises(GraphError, match="is known for the blocks of SD1.5 and SDXL"):
            old_client.run(by_api.content)
        return
    made = picture(old_client, by_api.content)
    assert picture(old_client, convert_ui_to_api(by_file.content, info)) == made
    assert made != picture(old_client, without(by_api.content))
    if name in SAME_PICTURE:
        assert made == picture(old_client, graph.prompt())


SAME_PICTURE = ("simple", "negative_image", "faceid", "portrait", "kolors", "cosxl_edit")


def test_catalogue_what_cannot_migrate_stays_and_says_why(old_client):
    """Its loader stays, too."""
    graph = GRAPHS["weights"]()
    found = migrate(graph.prompt())
    assert any("IPAdapterBatch" in line and "References over Frames" in line for line in found.stayed)
    assert picture(old_client, found.content) == picture(old_client, graph.prompt())
