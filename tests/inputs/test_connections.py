"""Errors about an input name the node that is connected to it, where ComfyUI knows it."""

import sys
from types import SimpleNamespace

import pytest
import torch
from comfy_execution.utils import CurrentNodeContext
from pack.ipadapter_core.errors import InputError
from pack.nodes.connections import connected_node
from pack.nodes.folders import register_folders
from pack.tools.comfyui.client import GraphError
from pack.tools.miniature.executing import execute

pytestmark = pytest.mark.inputs

register_folders()

PROMPT = {
    "3": {"class_type": "VAEDecode", "inputs": {}, "_meta": {"title": "My decoder"}},
    "4": {"class_type": "SolidMask", "inputs": {}},
    "7": {"class_type": "IPAdapterCoreNoise", "inputs": {"image": ["3", 0], "type": "fade", "seed": ["gone", 0]}},
    "8": {"class_type": "IPAdapterCoreRegions", "inputs": {"regions": "1", "regions.mask_1": ["4", 0]}},
}


@pytest.fixture
def queue(monkeypatch):
    """ComfyUI's queue while the prompt runs beside another."""
    running = [(0, "another", {}, {}, []), (1, "this", PROMPT, {}, [], {})]
    instance = SimpleNamespace(prompt_queue=SimpleNamespace(get_current_queue_volatile=lambda: (running, [])))
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=instance)))


def test_the_node_behind_an_input_is_found(queue):
    """By its own title or its class, also inside a dynamic choice."""
    with CurrentNodeContext("this", "7"):
        assert connected_node("image") == "My decoder (node 3)"
        assert connected_node("type") is None and connected_node("seed") is None and connected_node("mask") is None
    with CurrentNodeContext("this", "8"):
        assert connected_node("mask_1") == "SolidMask (node 4)"


def test_where_nobody_knows_nothing_is_said(monkeypatch, queue):
    """No run, another run, a node that another one made, no server."""
    assert connected_node("image") is None
    with CurrentNodeContext("gone", "7"):
        assert connected_node("image") is None
    with CurrentNodeContext("this", "7.0.1"):
        assert connected_node("image") is None
    monkeypatch.delitem(sys.modules, "server")
    with CurrentNodeContext("this", "7"):
        assert connected_node("image") is None


def test_an_error_names_the_node(queue):
    """At its end, after what to do."""
    with CurrentNodeContext("this", "7"), pytest.raises(InputError, match=r"; connected is My decoder \(node 3\)$"):
        execute("IPAdapterCoreNoise", type="fade", strength=1.0, blur=0, seed=0, image=torch.full((1, 4, 4, 3), 255.0))


@pytest.mark.server
def test_a_server_names_the_node(client):
    """A number that no widget would take, from a node that has no bounds; under a name that is the same everywhere."""
    prompt = {
        "1": {"class_type": "PrimitiveFloat", "inputs": {"value": 1e15}, "_meta": {"title": "Too much"}},
        "2": {
            "class_type": "IPAdapterCoreNoise",
            "inputs": {"type": "fade", "strength": ["1", 0], "blur": 0, "seed": 0},
        },
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    found = r"ipadapter_core\.errors\.InputError: strength of .*found '1000000000000000.0'.*; connected is Too much \(node 1\)"
    with pytest.raises(GraphError, match=found):
        client.run(prompt)
