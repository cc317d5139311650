"""An encoder folder from a stranger: nothing in it reaches a hub, and what is missing is never made up."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pack.ipadapter_core.encoders.load import load_image_encoder
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.ipadapter_core.limits import MESSAGE
from pack.tools.miniature.models import randomise
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.dependency_versions_table import deps

pytestmark = [pytest.mark.trust, pytest.mark.inputs]

ROOT = Path(__file__).parents[2]
SIZES = {"hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
         "patch_size": 14, "projection_dim": 32}  # fmt: skip
KERNELS = '''
"""Stands for the package that fetches kernels from a hub: what would fetch notes that it was asked."""
import os, pathlib
__version__ = "0.18.2"

def asked(*given, **named):
    pathlib.Path(os.environ["ASKED"]).write_text(repr((given, named)))
    raise RuntimeError("a hub was asked")

class Plain(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name

def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    if name.startswith(("get_", "has_", "load_", "install_")):
        return asked
    if name[0].isupper():
        return Plain(name, (), {"__init__": lambda self, *given, **named: None})
    return lambda *given, **named: lambda decorated: decorated
'''
BAIT = "kernels-community/flash-attn"
LOADING = {  # how transformers loads a folder by itself, and how we do
    "transformers": "from transformers import CLIPVisionModelWithProjection as C; C.from_pretrained(sys.argv[1])",
    "ours": "from pack.ipadapter_core.encoders.load import load_image_encoder; import pathlib; "
    "e = load_image_encoder(pathlib.Path(sys.argv[1])); print('attention', e.model.network.config._attn_implementation)",
}
BEFORE = (
    "import sys; sys.path.insert(0, 'tools'); from loading import load_pack, use_comfyui; use_comfyui(); load_pack(); "
)


@pytest.fixture
def folder(tmp_path):
    """A folder in Hugging Face's layout."""
    place = tmp_path / "encoder"
    randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES)), seed=4).save_pretrained(place)
    return place


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def run(code, folder, tmp_path):
    """In a process that has the stood-in package; returns its output and what the package was asked."""
    site = tmp_path / "site"
    (site / "kernels").mkdir(parents=True, exist_ok=True)
    (site / "kernels" / "__init__.py").write_text(KERNELS)
    version = re.search(r">=([\d.]+)", deps["kernels"])[1]  # the oldest that this transformers takes
    (site / f"kernels-{version}.dist-info").mkdir(exist_ok=True)
    (site / f"kernels-{version}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: kernels\nVersion: {version}\n"
    )
    asked = tmp_path / "asked"
    known = os.environ | {"PYTHONPATH": str(site), "ASKED": str(asked)}
    done = subprocess.run([sys.executable, "-c", BEFORE + code, str(folder)], cwd=ROOT, env=known, capture_output=True,
                          text=True, check=False)  # fmt: skip
    return done.stdout + done.stderr, asked.read_text() if asked.exists() else ""


def test_the_bait_works(folder, tmp_path):
    """transformers by itself asks for the kernel: so the next test can fail."""
    edit(folder, attn_implementation=BAIT)
    assert BAIT in run(LOADING["transformers"], folder, tmp_path)[1]


def test_no_key_of_a_folder_asks_a_hub(folder, tmp_path):
    """Every name under which a configuration can point elsewhere, at both levels; the attention is ours."""
    names = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation",
             "_attn_implementation_internal", "kernel_config")  # fmt: skip
    bait = dict.fromkeys(names, BAIT) | {"auto_map": {"AutoModel": "evil/code--model.Model"}, "trust_remote_code": True}
    bait |= {
        "quantization_config": {"quant_method": "bitsandbytes"},
        "adapter_path": "evil/lora",
        "_name_or_path": "evil/x",
    }
    edit(folder, **bait, vision_config=bait | SIZES)
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "evil/model", "peft_type": "LORA"})
    )
    said, asked = run(LOADING["ours"], folder, tmp_path)
    assert "attention sdpa" in said and asked == "", said


def refused(path, words):
    with pytest.raises(EncoderMismatchError, match=words) as caught:
        load_image_encoder(path)
    assert len(str(caught.value)) <= MESSAGE


@pytest.mark.parametrize("lost", ["vision_model.encoder.layers.1.mlp.fc1.weight", "visual_projection.weight"])
def test_a_folder_that_lacks_a_tensor_is_refused(lost, folder):
    """It was loaded with random numbers in its place, without a word."""
    weights = load_file(folder / "model.safetensors")
    del weights[lost]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    refused(folder, f"lacks .*{lost.removeprefix('vision_model.')}")


def test_a_folder_without_a_tensor_of_its_own_is_refused(folder):
    """The same with other tensors in the file."""
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"})
    refused(folder, "lacks")


def test_a_folder_whose_tensor_has_another_size_is_refused(folder):
    """Neither cut nor stretched."""
    weights = load_file(folder / "model.safetensors")
    weights["visual_projection.weight"] = torch.zeros(32, 64)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    refused(folder, "encoder: ")


def test_a_folder_with_nan_is_refused(folder):
    """Its features would be NaN."""
    weights = load_file(folder / "model.safetensors")
    weights["visual_projection.weight"][3, 3] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    refused(folder, "visual_projection.weight hold NaN")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe{}", b"{" * 100_000, b'{"model_type": 7}', b'{"model_type": "' + b"x" * 9999 + b'"}',
     b'{"model_type": ["clip"]}'],
)  # fmt: skip
def test_a_config_that_is_none(content, folder):
    """Broken, a list, not UTF-8, nested without end."""
    (folder / "config.json").write_bytes(content)
    refused(folder, "config.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_hidden_layers", 10**9), ("hidden_size", -1), ("image_size", 1e308), ("patch_size", 0), ("hidden_size", "128"),
     ("num_attention_heads", 7), ("hidden_size", None), ("patch_size", [14, 14])],
)  # fmt: skip
def test_absurd_sizes_are_refused(name, value, folder):
    """Before anything is made of them."""
    edit(folder, **{name: value})
    refused(folder, "encoder")


def test_a_preprocessor_of_nonsense_changes_nothing(folder):
    """Sizes and colours that no image can be brought to are the usual ones."""
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": -3, "image_mean": "x", "image_std": [0, 0, 0]})
    )
    encoder = load_image_encoder(folder)
    assert encoder.image_size == 28 and encoder.image_std[0] > 0 and len(encoder.image_mean) == 3
