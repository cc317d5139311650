"""What an older ComfyUI does otherwise, stood in for by what it lacks; `dev.py versions` runs the true ones."""

import asyncio
import logging
import sys
from pathlib import Path

import pytest
from pack.ipadapter_core.encoders.siglip import SigLIPVisionModel
from pack.nodes import IPAdapterCoreExtension
from pack.tools.environment import ROOT, comfyui_tree

from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher

pytestmark = pytest.mark.trust
SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 48, "num_channels": 3, "patch_size": 14, "image_size": 28,
    "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96, "hidden_act": "gelu_pytorch_tanh",
}  # fmt: skip


@pytest.mark.parametrize("older", [True, False])
def test_a_comfyui_older_than_0_17_is_told_of_when_it_loads_us(older, monkeypatch, caplog):
    """0.17 is the first that tells patches when a run has ended; a newer one hears nothing."""
    if older:
        monkeypatch.delattr(ModelPatcher, "model_patches_call_function")
    with caplog.at_level(logging.WARNING):
        asyncio.run(IPAdapterCoreExtension().on_load())
    told = "found a ComfyUI older than 0.17" in caplog.text and "update ComfyUI" in caplog.text
    assert told == older


def test_siglip_loads_where_comfyui_reads_its_sizes_from_a_file_alone(monkeypatch):
    """As ComfyUI does before 0.24."""
    newer = ClipVisionModel.__init__

    def read(self, json_config):
        assert isinstance(json_config, str), f"expected a file's name, found {type(json_config)}"
        newer(self, json_config)

    monkeypatch.setattr(ClipVisionModel, "__init__", read)
    assert SigLIPVisionModel(SIGLIP, pools=True).model.head.heads == 3


@pytest.mark.parametrize(
    ("module", "hook"), [("model_patcher.py", "model_patches_call_function"), ("ldm/flux/layers.py", '"attn1_patch"')]
)
def test_0_16_lacks_what_we_need_and_0_18_has_it(module, hook):
    """Why pyproject.toml asks for 0.17: read in ComfyUI's own text, as nothing of it can be imported beside another one."""
    older, newer = (comfyui_tree(one, Path(sys.executable)) / "comfy" / module for one in ("0.16.3", "0.18.2"))
    assert hook not in older.read_text(encoding="utf-8")
    assert hook in newer.read_text(encoding="utf-8")
    assert 'requires-comfyui = ">=0.17.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
