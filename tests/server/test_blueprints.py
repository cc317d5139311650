"""Blueprints in ComfyUI's own frontend: they are offered, open whole, run as the single nodes do, and unpack into them."""

import json

import pytest
from pack.tools.comfyui.browser import Frontend
from pack.tools.comfyui.client import ComfyClient
from pack.tools.environment import ROOT
from pack.tools.workflows.blueprints import BLUEPRINTS, image_prompt, style_from_image, two_regions
from pack.tools.workflows.graph import Graph
from pack.tools.workflows.subgraph import blueprint_file, definition, whole

pytestmark = [pytest.mark.seeing, pytest.mark.browser]

ADAPTER = {"name": "demo_world_ip_adapter.safetensors", "url": "", "directory": "ipadapter"}
ENCODER = {"name": "demo_world_clip_vision.safetensors", "url": "", "directory": "clip_vision"}


@pytest.fixture(scope="module")
def frontend(demo_server):
    """One page for all."""
    with Frontend(demo_server.url) as page:
        yield page
