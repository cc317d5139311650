"""Files as training scripts leave them: the adapter in them is the same, tensor for tensor, whatever lies around it."""

import argparse
from pathlib import Path

import numpy
import pytest
import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.presets.identify import FileKind, identify
from pack.tools.miniature.faces import weights_of
from pack.tools.miniature.models import adapter_weights
from safetensors.torch import save_file

pytestmark = [pytest.mark.inputs, pytest.mark.training]

WIDTHS = [
    320,
    320,
    640,
    640,
    1280,
    1280,
    1280,
    1280,
    1280,
    640,
    640,
    640,
    320,
    320,
    320,
    1280,
]  # of SD1.5, in file order
PLACES = [  # diffusers' names of the same layers
    *(f"down_blocks.{block}.attentions.{n}" for block in (0, 1, 2) for n in (0, 1)),
    *(f"up_blocks.{block}.attentions.{n}" for block in (1, 2, 3) for n in (0, 1, 2)),
    "mid_block.attentions.0",
]
UNET = {"unet.conv_in.weight": torch.zeros(8, 4, 3, 3), "unet.up_blocks.1.attentions.0.norm.weight": torch.ones(4)}
WEIGHTS = adapter_weights("plus", [width // 40 for width in WIDTHS], 96)
FACE = weights_of("FaceID", [width // 40 for width in WIDTHS], 96, lora=True)


def trained(weights):
    """The names of tencent's training scripts."""
    names = (("image_proj.", "image_proj_model."), ("ip_adapter.", "adapter_modules."))
    return {
        next(new + key[len(old) :] for old, new in names if key.startswith(old)): one for key, one in weights.items()
    }


def deduplicated(weights):
    """What accelerate leaves in safetensors: each layer under the UNet's name only."""
    kept = dict(UNET)
    for key, tensor in weights.items():
        if key.startswith("image_proj."):
            kept[key.replace("image_proj.", "image_proj_model.")] = tensor
        else:
            _, number, name = key.split(".", 2)
            place = PLACES[int(number) // 2]
            kept[f"unet.{place}.transformer_blocks.0.attn{int(number) % 2 + 1}.processor.{name}"] = tensor
    return kept


def prefixed(weights, prefix="module."):
    return {f"{prefix}{key}": tensor for key, tensor in weights.items()}


def nested(weights):
    parts = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in weights.items():
        part, name = key.split(".", 1)
        parts[part][name] = tensor
    return parts


BESIDE = {
    "epoch": 3, "args": argparse.Namespace(lr=1e-4), "loss": numpy.float64(0.1), "step": numpy.int64(7),
    "optimizer": {"state": {0: {"exp_avg": torch.zeros(4), "step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1.0}]},
}  # fmt: skip
LAYOUTS = {
    "tencent's script, UNet and all": lambda w: UNET | trained(w),
    "tencent's script without the UNet": trained,
    "distributed": lambda w: prefixed(UNET | trained(w)),
    "state_dict beside an optimizer": lambda w: {"state_dict": trained(w), **BESIDE},
    "model beside an optimizer": lambda w: {"model": trained(w), **BESIDE},
    "module of DeepSpeed": lambda w: {"module": trained(w), "ds_config": {"a": 1}, **BESIDE},
    "state_dict, distributed": lambda w: {"state_dict": prefixed(UNET | trained(w)), **BESIDE},
    "published names in a state_dict": lambda w: {"state_dict": nested(w), "epoch": 1},
    "published names beside an optimizer": lambda w: {**nested(w), **BESIDE},
    "deduplicated by accelerate": deduplicated,
    "deduplicated, distributed": lambda w: prefixed(deduplicated(w)),
    "flat published names": lambda w: w,
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_training_checkpoint_is_the_adapter_in_it(layout, old, tmp_path):
    """As `.bin`, in both of PyTorch's formats; the list of files knows it, too."""
    path = tmp_path / "checkpoint.bin"
    torch.save(LAYOUTS[layout](WEIGHTS), path, _use_new_zipfile_serialization=not old)
    same(path, WEIGHTS)


@pytest.mark.parametrize("layout", ["tencent's script, UNet and all", "distributed", "deduplicated by accelerate"])
@pytest.mark.parametrize("name", ["model.safetensors", "model.SAFETENSORS", "model.bin"])
def test_safetensors_under_any_ending(layout, name, tmp_path):
    """The container is known by its content."""
    save_file(LAYOUTS[layout](WEIGHTS), tmp_path / name)
    same(tmp_path / name, WEIGHTS)


def test_a_pytorch_file_named_safetensors(tmp_path):
    """The other way round."""
    torch.save(nested(WEIGHTS), tmp_path / "model.safetensors")
    same(tmp_path / "model.safetensors", WEIGHTS)


@pytest.mark.parametrize("layout", ["tencent's script, UNet and all", "deduplicated by accelerate", "distributed"])
def test_a_face_adapter_keeps_its_lora(layout, tmp_path):
    """Self-attention has the even numbers, cross-attention the odd ones."""
    save_file(LAYOUTS[layout](FACE), tmp_path / "face.safetensors")
    same(tmp_path / "face.safetensors", FACE)


def same(path: Path, weights):
    adapter = load_adapter(str(path))
    found = adapter.network.state_dict() | adapter.lora
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], weights[key]) for key in weights)
    assert identify(path).kind is FileKind.ADAPTER and identify(path).spec == adapter.spec
