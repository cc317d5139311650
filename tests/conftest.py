"""Makes `pack` (this repository) and `comfy` importable; see tools/loading.py for why not through sys.path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from loading import load_pack, use_comfyui

use_comfyui()
load_pack()

import os

import pytest
import torch

torch.set_num_threads(1)  # miniature models only wait for a second thread

from pack.tests.oracles.seen_queries import seen  # noqa: F401 - a fixture for every test


def pytest_collection_modifyitems(items):
    """Whatever asks for the shared server is marked so."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("server")


@pytest.fixture(autouse=True)
def nothing_said():
    """Lets each test hear what is said once in a process."""
    from pack.ipadapter_core.warn_once import warn_once

    warn_once.cache_clear()


@pytest.fixture(autouse=True)
def dead_models_are_forgotten():
    """ComfyUI collects all garbage at each run while a patcher is gone and its model lives, as miniature models do."""
    yield
    from comfy.model_management import current_loaded_models

    current_loaded_models[:] = [loaded for loaded in current_loaded_models if not loaded.is_dead()]


@pytest.fixture(scope="session")
def adapters(tmp_path_factory):
    """A folder whose files the server offers in Load IP-Adapter."""
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """A folder whose files the server offers in Load Image Encoder."""
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="session")
def transformers(tmp_path_factory):
    """A folder whose files the server offers in Load Diffusion Model."""
    return tmp_path_factory.mktemp("transformers")


@pytest.fixture(scope="session")
def server(adapters, encoders, transformers):
    """One real ComfyUI server for all tests that need no options of their own, with nodes that load miniature models."""
    from pack.tools.comfyui.server import ComfyServer, Mounts

    python, comfyui = Path(sys.executable), Path(os.environ["COMFYUI_PATH"])
    folders = {"ipadapter": adapters, "clip_vision": encoders, "diffusion_models": transformers}
    mounts = Mounts((Path(__file__).parent / "tiny_nodes",), folders)
    with ComfyServer(python, comfyui, mounts=mounts) as running:
        yield running


@pytest.fixture(scope="session")
def client(server):
    """A client of that server."""
    from pack.tools.comfyui.client import ComfyClient

    return ComfyClient(server.url)
