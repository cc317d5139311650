"""ComfyUI's own frontend in headless Chromium: graphs open whole, run, show previews and help.

Without a Chromium these tests fail with the command that installs one; they are never skipped in silence.
"""

import os
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from pack.tools.comfyui.browser import Frontend, chromium
from pack.tools.comfyui.client import ComfyClient
from pack.tools.comfyui.server import ComfyServer, Mounts
from pack.tools.docs.locales import read_table
from pack.tools.environment import ROOT
from pack.tools.miniature.models import adapter_weights
from pack.tools.pictures.make import SHOWN, screenshots
from pack.tools.workflows.catalogue import GRAPHS
from pack.tools.workflows.graph import Output
from safetensors.torch import save

pytestmark = [pytest.mark.seeing, pytest.mark.browser, pytest.mark.server]

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


@pytest.fixture(scope="module")
def frontend(comfyui):
    """One page for all graphs."""
    with Frontend(comfyui.url) as page:
        yield page


@pytest.fixture(scope="module")
def client(comfyui):
    """A client of that server."""
    return ComfyClient(comfyui.url)


@pytest.mark.parametrize("name", GRAPHS)
def test_seeing_a_graph_opens_whole(frontend, client, name):
    """No missing node, no red widget, no dialog, and every widget has the value that the graph was written with.

    A widget with a link has none of its own.
    """
    graph = GRAPHS[name]()
    frontend.open(graph.workflow(client.object_info()))
    assert frontend.problems() == []
    shown = frontend.values()
    for node in graph.nodes:
        for key, value in node.inputs.items():
            if key in shown[node.number] and not isinstance(value, Output):
                assert shown[node.number][key] == value, (node.kind, key)


def test_seeing_a_file_from_disk_is_what_opens(frontend, client):
    """The committed file, as a person drops it into the window."""
    import json

    frontend.open(json.loads((ROOT / "workflows" / f"{SHOWN}.json").read_text()))
    assert frontend.problems() == []
    drawn = [node for node in GRAPHS[SHOWN]().nodes if node.kind == "DemoWorldPicture"]
    assert [frontend.values()[node.number]["size"] for node in drawn] == [64, 64]


def test_seeing_a_run_and_the_help(frontend, client, tmp_path):
    """Run is pressed, the previews appear; the help panel shows the page with its picture."""
    text = screenshots(frontend, client, tmp_path)
    assert "Lets an image prompt steer the model" in text and "Common mistakes" in text
    picture = frontend.page.locator(".node-help-content img").first
    assert picture.evaluate("image => image.naturalWidth") > 100
    assert frontend.problems() == []
    assert all((tmp_path / name).stat().st_size > 20_000 for name in ("graph.jpg", "help.jpg"))
    assert frontend.shown_widgets("IPAdapterCoreApply") == 3  # the advanced ones are folded away


def test_seeing_the_nodes_in_chinese(frontend, client):
    """Titles and inputs come from our locales."""
    table = read_table("zh")
    frontend.load("zh")
    frontend.open(GRAPHS[SHOWN]().workflow(client.object_info()))
    labels = frontend.page.evaluate(
        "() => window.app.graph.nodes.filter(node => node.type === 'IPAdapterCoreApply').flatMap(node =>"
        " [node.title, ...[...(node.widgets ?? []), ...node.inputs].flatMap(one => [one.label, one.localized_name])])"
    )
    frontend.load("en")
    wanted = {table["Apply IP-Adapter"], table["weight"], table["start_percent"], table["image_prompt"]}
    assert wanted <= set(labels), labels
