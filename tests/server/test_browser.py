"""ComfyUI's own frontend in headless Chromium: graphs open whole, run, show previews and help.

Without a Chromium these tests fail with the command that installs one; they are never skipped in silence.
"""

import json
import os
import shutil
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import pytest
from pack.tools.comfyui.browser import Frontend, chromium
from pack.tools.comfyui.client import ComfyClient
from pack.tools.comfyui.server import ComfyServer, Mounts
from pack.tools.docs.locales import read_table
from pack.tools.environment import ROOT
from pack.tools.frontend import VARIABLE
from pack.tools.miniature.models import adapter_weights
from pack.tools.pictures.make import SHOWN, screenshots
from pack.tools.workflows.apps import APPS
from pack.tools.workflows.catalogue import GRAPHS
from pack.tools.workflows.graph import Graph, Output
from pack.tools.workflows.stage import DEMO, DEMO_ADAPTER, ENCODER, SDXL
from safetensors.torch import save

pytestmark = [pytest.mark.seeing, pytest.mark.browser, pytest.mark.server]

FORMS = {  # all that is written there (texts and numbers stand in fields of their own), and how many images come
    "app_image_prompt": (["Reference", "example.png", "Prompt", "Strength", "Purpose", "linear"], 1),
    "app_character_over_scenes": (["Image 1", "example.png", "Image 2", "example.png", "Scenes, a line each", "Strength",
                                   "Purpose", "linear"], 3),
}  # fmt: skip
OLD = {"input": {"required": {"clip_vision": ["CLIP_VISION", {}], "image": ["IMAGE", {}]}},
       "output": ["CLIP_VISION_OUTPUT"], "output_name": ["CLIP_VISION_OUTPUT"]}  # fmt: skip
EMPTY = b"\x02\x00\x00\x00\x00\x00\x00\x00{}"  # a safetensors file without tensors: here only its name counts


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory):
    """A server whose model folders hold every file that a graph names, and the picture that new users have."""
    chromium()
    folders = defaultdict(lambda: tmp_path_factory.mktemp("models"))
    adapter = save(adapter_weights("base", [32, 32], 96))  # the list has adapters alone
    for build in GRAPHS.values():
        for file in (file for node in build().nodes for file in node.models):
            (folders[file["directory"]] / file["name"]).write_bytes(
                adapter if file["directory"] == "ipadapter" else EMPTY
            )
    home = tmp_path_factory.mktemp("comfyui")
    (home / "input").mkdir()
    shutil.copy(ROOT / "docs" / "images" / "demo.jpg", home / "input" / "example.png")
    python, tree = Path(sys.executable), Path(os.environ["COMFYUI_PATH"])
    with ComfyServer(python, tree, folder=home, mounts=Mounts(model_folders=dict(folders))) as server:
        yield server


@pytest.fixture(scope="module", params=[True, False], ids=["elements", "canvas"])
def frontend(comfyui, request):
    """One page for all graphs, for each way in which ComfyUI draws nodes."""
    with Frontend(comfyui.url, elements=request.param) as page:
        yield page


@pytest.fixture(scope="module")
def client(comfyui):
    """A client of that server."""
    return ComfyClient(comfyui.url)


@pytest.mark.parametrize("name", GRAPHS)
def test_seeing_a_graph_opens_whole(frontend, client, name):
    """No missing node, no red widget, no dialog, no node that has outgrown its place, and every widget has its value.

    A widget with a link has none of its own.
    """
    graph = GRAPHS[name]()
    workflow = graph.workflow(client.object_info())
    frontend.open(workflow)
    assert frontend.problems() == [] and frontend.overflowing(workflow) == []
    shown = frontend.values()
    for node in graph.nodes:
        for key, value in node.inputs.items():
            if key in shown[node.number] and not isinstance(value, Output):
                assert shown[node.number][key] == value, (node.kind, key)


def test_seeing_the_frontend_that_was_asked_for(frontend):
    """With `--frontend VERSION` it is that one that all these tests see, in the way of drawing that the fixture says."""
    asked = Path(os.environ.get(VARIABLE, "")).name
    shown = frontend.page.evaluate("() => [window.__COMFYUI_FRONTEND_VERSION__, window.LiteGraph.vueNodesMode]")
    assert shown[0] == (asked or version("comfyui-frontend-package")) and shown[1] is frontend.elements


def test_seeing_a_file_from_disk_is_what_opens(frontend, client):
    """The committed file, as a person drops it into the window."""
    frontend.open(json.loads((ROOT / "workflows" / f"{SHOWN}.json").read_text()))
    assert frontend.problems() == []
    drawn = [node for node in GRAPHS[SHOWN]().nodes if node.kind == "DemoWorldPicture"]
    assert [frontend.values()[node.number]["size"] for node in drawn] == [64, 64]


def test_seeing_which_models_are_missing(frontend):
    """A workflow whose files nobody has: ComfyUI's panel names each with its folder, and offers to download it."""
    text = (ROOT / "workflows" / "sdxl_plus.json").read_text()
    files = [file for node in GRAPHS["sdxl_plus"]().nodes for file in node.models]
    for file in files:
        text = text.replace(f'"{file["name"]}"', f'"not_here_{file["name"]}"')
    frontend.open(json.loads(text))
    missing = frontend.missing_models()
    frontend.load("en")
    assert missing == [line for file in files for line in (f"not_here_{file['name']}", file["directory"], "Download")]


def test_seeing_a_run_and_the_help(frontend, client, tmp_path):
    """Run is pressed, the previews appear, in nodes with room for them; the help panel shows the page with its picture."""
    text = screenshots(frontend, client, tmp_path)
    assert frontend.overflowing(GRAPHS[SHOWN]().workflow(client.object_info())) == []
    assert "Lets an image prompt steer the model" in text and "Common mistakes" in text
    picture = frontend.page.locator(".node-help-content img").first
    assert picture.evaluate("image => image.naturalWidth") > 100
    assert frontend.problems() == []
    assert all((tmp_path / name).stat().st_size > 20_000 for name in ("graph.jpg", "help.jpg"))
    assert frontend.shown_widgets("IPAdapterCoreApply") == 4  # one is its text; the advanced ones are folded away


def test_seeing_what_nodes_tell(frontend, client):
    """What the chosen file is, before anything has run; another file, another text; and pairs that cannot work.

    Nothing of it goes into the workflow or the prompt.
    """
    graph = Graph()
    published = SDXL.adapter["name"]
    first, second = (graph.add("IPAdapterCoreLoad", ip_adapter_name=name) for name in (published, DEMO_ADAPTER))
    image = graph.add("LoadImage", image="example.png")
    prompt = graph.add("IPAdapterCoreEncode", ip_adapter=second[0], image=image[0], fit="center")
    graph.add("IPAdapterCoreEncodeFace", ip_adapter=second[0], image=image[0])
    graph.add("IPAdapterCoreApply", ip_adapter=first[0], image_prompt=prompt[0])
    graph.add("IPAdapterCoreLoadPreset", preset="PLUS (high strength)")
    workflow = graph.workflow(client.object_info())
    frontend.open(workflow)
    told = frontend.told()
    assert "4 image tokens\n7 cross-attention layers" in told["IPAdapterCoreLoad"]
    assert (
        "licence: not stated" in told["IPAdapterCoreLoad"] and "not in models/clip_vision" in told["IPAdapterCoreLoad"]
    )
    assert told["IPAdapterCoreEncodeFace"].endswith("is not for Encode Face: use Encode Reference Image")
    assert told["IPAdapterCoreApply"].endswith(f"was encoded for {DEMO_ADAPTER}, not for {published}")
    assert "SDXL: no file yet: https://huggingface.co/h94/IP-Adapter" in told["IPAdapterCoreLoadPreset"]
    frontend.choose("IPAdapterCoreLoad", "ip_adapter_name", DEMO_ADAPTER)
    assert frontend.told()["IPAdapterCoreApply"] == "connect clip_vision: an encoder with image_embeds of width 128"
    kept = frontend.page.evaluate("() => window.app.graph.serialize().nodes.map(node => node.widgets_values ?? [])")
    assert not [value for values in kept for value in values if "licence" in str(value)]
    assert frontend.errors == []


@pytest.mark.parametrize("name", APPS)
def test_seeing_an_app(frontend, client, name):
    """It opens as a form with reference, prompt, strength and purpose, and nothing else; Run there shows the images.

    The file for published weights has the same form as the one in the demo world, which runs.
    """
    (form, images), info = FORMS[name], client.object_info()
    for workflow in (json.loads((ROOT / "workflows" / f"{name}.json").read_text()), APPS[name](DEMO).workflow(info)):
        frontend.open(workflow)
        assert frontend.app() == form
    frontend.run_app(images)
    problems = frontend.problems()
    frontend.load("en")
    assert problems == []


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_seeing_the_nodes_in_a_language(frontend, client, language):
    """Titles and inputs come from our locales; of our languages ComfyUI does not offer German so far."""
    table = read_table(language)
    frontend.load(language)
    frontend.open(GRAPHS[SHOWN]().workflow(client.object_info()))
    labels = frontend.page.evaluate(
        "() => window.app.graph.nodes.filter(node => node.type === 'IPAdapterCoreApply').flatMap(node =>"
        " [node.title, ...[...(node.widgets ?? []), ...node.inputs].flatMap(one => [one.label, one.localized_name])])"
    )
    problems = frontend.problems()
    frontend.load("en")
    wanted = {table["Apply IP-Adapter"], table["weight"], table["start_percent"], table["image_prompt"]}
    assert wanted <= set(labels), labels
    assert problems == []


def test_seeing_an_old_node_replaced(frontend, client):
    """An id of the peer pack that nobody has: the frontend offers ComfyUI's own node for it, and puts it there."""
    graph = Graph()
    image = graph.add("LoadImage", image="example.png")
    encoder = graph.add("CLIPVisionLoader", clip_name=ENCODER["name"])
    graph.add("IPAdapterCLIPVisionEncode", clip_vision=encoder[0], image=image[0])
    frontend.open(graph.workflow(client.object_info() | {"IPAdapterCLIPVisionEncode": OLD}))
    frontend.replace_old_nodes()
    assert frontend.kinds()[:3] == ["LoadImage", "CLIPVisionLoader", "CLIPVisionEncode"]
    links = frontend.page.evaluate("() => window.app.graph.nodes[2].inputs.map(one => [one.name, !!one.link])")
    assert ["clip_vision", True] in links and ["image", True] in links
