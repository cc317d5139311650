"""The pack in a real ComfyUI server: nodes, workflows, errors as a user sees them."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pack.tools.comfyui.api_prompt import graph_file, node, set_inputs, without_adapter
from pack.tools.comfyui.client import ComfyClient, GraphError
from pack.tools.comfyui.server import ROOT, ComfyServer, Mounts
from pack.tools.demo.picture_grid import pixels
from pack.tools.miniature.models import adapter_weights
from pack.tools.workflows.catalogue import GRAPHS
from pack.tools.workflows.declared import GROWING, declared
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.server
OURS = {
    file.stem for file in (ROOT / "web" / "docs").glob("IPAdapterCore*.md")
}  # every node has a help page, and no more
GRAPH_FILES = sorted(file.stem for file in (ROOT / "workflows").glob("*.json"))
COMFYUI = Path(os.environ["COMFYUI_PATH"])
ADAPTER = ROOT / "demo" / "weights" / "ipadapter" / "demo_world_ip_adapter.safetensors"


def pictures(client, outputs, name):
    """The pixels of a node's images; the files also hold the workflow."""
    return [pixels(client.picture(entry)).tobytes() for entry in outputs[name]["images"]]


def run(client, prompt):
    return pictures(client, client.run(prompt), node(prompt, "SaveImage"))


@pytest.fixture
def demo(client):
    return graph_file("demo_text_and_reference", client.object_info())


def test_nodes_are_listed_without_a_warning(client, server):
    """Ours and the demo's; the log names no trouble with them."""
    assert {name for name in client.object_info() if name.startswith("IPAdapterCore")} == OURS
    assert client.object_info().keys() >= {"DemoWorldLoad", "DemoWorldPicture"}
    start, _, _ = server.log_text().partition("got prompt")  # what workflows of other tests said comes after
    lines = [line for line in start.splitlines() if re.search("ipadapter|ip-adapter", line, re.IGNORECASE)]
    assert lines and not [line for line in lines if re.search("warn|error|fail|trace", line, re.IGNORECASE)]


def test_an_older_comfyui_lists_them_too(tmp_path):
    """ComfyUI 0.18.2, with its own requirements in an environment of its own."""
    command = [sys.executable, str(ROOT / "dev.py"), "--comfyui", "0.18.2", "paths"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    with ComfyServer(Path(found["python"]), Path(found["comfyui"])) as server:
        client = ComfyClient(server.url)
        assert client.object_info().keys() >= OURS
        assert not re.search("IMPORT FAILED|Traceback", server.log_text())
        prompt = graph_file("demo_text_and_reference", client.object_info())
        assert run(client, prompt) != run(client, without_adapter(prompt))


@pytest.mark.parametrize("name", sorted(OURS))
def test_help_pages_are_served(client, name):
    """Under the pack's folder, where the browser looks for them."""
    assert "| Input | |" in client._open(f"/extensions/ipadapter-core/docs/{name}.md").decode()


def test_graphs_are_listed_as_templates_with_pictures(client):
    """Each workflow has an image beside it."""
    assert set(client.get("/workflow_templates")["ipadapter-core"]) == set(GRAPH_FILES)
    assert all((ROOT / "workflows" / f"{name}.jpg").is_file() for name in GRAPH_FILES)


def test_graph_files_are_what_the_source_says(client):
    """`dev.py workflows` would change nothing."""
    assert sorted(GRAPHS) == GRAPH_FILES
    for name, build in GRAPHS.items():
        assert json.loads((ROOT / "workflows" / f"{name}.json").read_text()) == build().workflow(
            client.object_info()
        ), name


@pytest.mark.parametrize("name", GRAPH_FILES)
def test_graphs_fit_the_live_nodes(client, name):
    """Converted to an API prompt, every node is known, every needed input is there, every value and link has the right type."""
    info = client.object_info()
    prompt = graph_file(name, info)
    for entry in prompt.values():
        known = info[entry["class_type"]]
        kinds = {key: kind for key, kind, _ in declared(known, entry["inputs"])}
        growing = {key for key, (kind, *_) in known["input"].get("required", {}).items() if kind == GROWING}
        assert known["input"].get("required", {}).keys() - growing <= entry["inputs"].keys()
        for key, value in entry["inputs"].items():
            kind = kinds[key]
            if isinstance(value, list):
                source = info[prompt[value[0]]["class_type"]]
                assert source["output"][value[1]] == kind
            else:
                allowed = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}.get(kind, str)
                assert isinstance(value, allowed), (entry["class_type"], key, value)


@pytest.mark.parametrize(
    "name", [name for name in GRAPH_FILES if name.startswith("demo") and name != "demo_train_adapter"]
)  # which has a file of its own, test_training.py
def test_demo_graphs_run(client, name):
    """Each gives an image that differs from the one without the adapter."""
    prompt = graph_file(name, client.object_info())
    set_inputs(prompt, "KSampler", steps=4)
    assert run(client, prompt) != run(client, without_adapter(prompt))


def test_weight_zero_is_no_node_to_the_byte(client, demo):
    """And the same workflow twice is the same image."""
    first = run(client, demo)
    set_inputs(demo, "IPAdapterCoreApply", weight=0.0)
    silent, plain = run(client, demo), run(client, without_adapter(demo))
    set_inputs(demo, "IPAdapterCoreApply", weight=1.0)
    set_inputs(demo, "SaveImage", filename_prefix="again")
    assert silent == plain != first
    assert run(client, demo) == first


def test_another_weight_window_or_mask_encodes_nothing_again(client, demo):
    """ComfyUI keeps the image prompt; only Apply and what follows run."""
    run(client, demo)
    for values in ({"weight": 0.63}, {"start_percent": 0.2}, {"end_percent": 0.9}):
        set_inputs(demo, "IPAdapterCoreApply", **values)
        name = client.queue(demo)
        client.wait(name)
        messages = dict(client.get(f"/history/{name}")[name]["status"]["messages"])
        cached = set(messages["execution_cached"]["nodes"])
        assert {node(demo, "IPAdapterCoreLoad"), node(demo, "IPAdapterCoreEncode")} <= cached
        assert node(demo, "IPAdapterCoreApply") not in cached


def test_the_nodes_show_what_they_found_and_saw(client, demo):
    """Text on the loader, pixels on the encoder."""
    set_inputs(demo, "IPAdapterCoreEncode", fit="pad")
    seen = client.run(demo).get(node(demo, "IPAdapterCoreEncode"))
    assert seen and seen["images"]


def test_a_file_for_another_model_is_explained(client, demo, adapters):
    """The error box names the file, both sizes, and the node to change."""
    save_file(adapter_weights("base", [320, 640], 768), adapters / "other_model.safetensors")
    set_inputs(demo, "IPAdapterCoreLoad", ip_adapter_name="other_model.safetensors")
    set_inputs(demo, "IPAdapterCoreEncode", fit="top")
    with pytest.raises(GraphError, match="other_model.safetensors.*Load|width.*other_model.safetensors"):
        client.run(demo)


def test_a_broken_file_is_explained(client, demo, adapters):
    """A download that broke off, before anything of the prompt runs."""
    (adapters / "cut.safetensors").write_bytes(ADAPTER.read_bytes()[:5000])
    set_inputs(demo, "IPAdapterCoreLoad", ip_adapter_name="cut.safetensors")
    with pytest.raises(
        GraphError,
        match=r"failed validation.*ip_adapter_name - cut.safetensors: cannot be read.*download it again",
    ):
        client.run(demo)


@pytest.mark.parametrize("cache", ["--cache-classic", "--cache-lru 10", "--cache-none"])
def test_engine_branches_do_not_mix_in_any_order_under_any_cache(cache, tmp_path):
    """Two branches from one loader with different adapters give the images that each gives alone."""
    weights = load_file(ADAPTER)
    generator = torch.Generator().manual_seed(1)
    shuffled = {key: tensor[torch.randperm(len(tensor), generator=generator)] for key, tensor in weights.items()}
    save_file(shuffled, tmp_path / "shuffled.safetensors")
    options = cache.split()
    with ComfyServer(
        Path(sys.executable), COMFYUI, options=options, mounts=Mounts(model_folders={"ipadapter": tmp_path})
    ) as server:
        client = ComfyClient(server.url)
        one = graph_file("demo_text_and_reference", client.object_info())
        set_inputs(one, "KSampler", steps=3)
        two = copy.deepcopy(one)
        set_inputs(two, "IPAdapterCoreLoad", ip_adapter_name="shuffled.safetensors")
        alone = [run(client, graph)[0] for graph in (one, two)]
        assert alone[0] != alone[1]
        for order in ((0, 1), (1, 0)):
            both = _both(one, two, order)
            outputs = client.run(both)
            saved = [pictures(client, outputs, name)[0] for name in ("save-0", "save-1")]
            assert [saved[index] for index in (0, 1)] == alone
        assert [run(client, graph)[0] for graph in (two, one, two)] == [alone[1], alone[0], alone[1]]


def _both(one, two, order):
    """One workflow with both branches on the same loaders; `order` says which branch's nodes come first."""
    shared = {"DemoWorldLoad", "DemoWorldPicture", "CLIPTextEncode", "EmptyChromaRadianceLatentImage"}
    merged = {name: entry for name, entry in one.items() if entry["class_type"] in shared}
    for index in order:
        graph = (one, two)[index]
        own = {name for name, entry in graph.items() if entry["class_type"] not in shared}
        names = {
            name: "save-" + str(index) if graph[name]["class_type"] == "SaveImage" else f"{index}-{name}"
            for name in own
        }
        for name in own:
            inputs = {
                key: [names.get(value[0], value[0]), value[1]] if isinstance(value, list) else value
                for key, value in graph[name]["inputs"].items()
            }
            merged[names[name]] = graph[name] | {"inputs": inputs}
    return merged


def test_the_pack_folder_can_have_any_name(tmp_path):
    """As a plain copy under another name, as a manual installation may be."""
    place = tmp_path / "custom_nodes" / "My IP Adapter (copy)"
    ignore = shutil.ignore_patterns(".venv*", ".comfyui", ".git", "output", "demo", "tests", "__pycache__")
    shutil.copytree(ROOT, place, ignore=ignore)
    with ComfyServer(Path(sys.executable), COMFYUI, folder=tmp_path, mounts=Mounts(pack=place)) as server:
        assert ComfyClient(server.url).object_info().keys() >= OURS
