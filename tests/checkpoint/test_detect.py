"""What a file is, from keys and shapes alone: every published layout on the meta device, and every way to be wrong."""

import math

import pytest
import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.adapter.network import Adapter
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.errors import CheckpointError
from pack.tools.miniature.models import adapter_weights
from pack.tools.miniature.published_shapes import PUBLISHED
from safetensors.torch import save_file

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_are_recognised(name):
    """Base model, format, tokens, encoder and parameter count, under a file name that says nothing."""
    file = PUBLISHED[name]
    spec = detect(file.shapes, "renamed.bin")
    assert (spec.base.value, spec.format, spec.projector.tokens, spec.encoder) == file[1:5]
    assert sum(math.prod(shape) for shape in file.shapes.values()) / 1e6 == pytest.approx(file.millions, abs=0.01)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_network_has_exactly_the_files_keys(name):
    """Loading is strict, so keys and shapes of network and file must be the same."""
    file = PUBLISHED[name]
    network = Adapter(detect(file.shapes, name), torch.nn, device="meta")
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == file.shapes


def tiny_file(kind="plus"):
    return adapter_weights(kind, [32, 64, 32], 96)


def nest(weights, layers="ip_adapter"):
    parts = {"image_proj": {}, layers: {}}
    for key, tensor in weights.items():
        part, name = key.split(".", 1)
        parts["image_proj" if part == "image_proj" else layers][name] = tensor
    return parts


@pytest.mark.parametrize("layers", ["ip_adapter", "adapter_modules"])
@pytest.mark.parametrize("kind", ["base", "plus", "full face"])
def test_every_way_to_write_a_file_gives_the_same_adapter(kind, layers, tmp_path):
    """Flat safetensors and nested .bin, with either name for the layers."""
    weights = tiny_file(kind)
    renamed = {key.replace("ip_adapter.", f"{layers}."): tensor for key, tensor in weights.items()}
    save_file(renamed, tmp_path / "flat.safetensors")
    torch.save(nest(weights, layers), tmp_path / "nested.bin")
    for name in ("flat.safetensors", "nested.bin"):
        loaded = load_adapter(str(tmp_path / name)).network.state_dict()
        assert loaded.keys() == weights.keys()
        assert all(torch.equal(loaded[key], tensor) for key, tensor in weights.items())


def test_tensors_keep_the_dtype_of_the_file(tmp_path):
    """A projector in float32 beside layers in float16 is not rounded down to them."""
    weights = tiny_file()
    weights = {key: tensor if key.startswith("image_proj") else tensor.half() for key, tensor in weights.items()}
    save_file(weights, tmp_path / "mixed.safetensors")
    loaded = load_adapter(str(tmp_path / "mixed.safetensors")).network.state_dict()
    assert all(loaded[key].dtype == tensor.dtype for key, tensor in weights.items())


BROKEN = {
    "no projector": (lambda w: {k: t for k, t in w.items() if k.startswith("ip_adapter")}, "no image projector"),
    "no layers": (lambda w: {k: t for k, t in w.items() if k.startswith("image_proj")}, "no key/value projections"),
    "a layer is missing": (
        lambda w: {k: t for k, t in w.items() if not k.startswith("ip_adapter.3.")},
        "ip_adapter.3.to_k_ip",
    ),
    "half a layer": (
        lambda w: {k: t for k, t in w.items() if k != "ip_adapter.5.to_v_ip.weight"},
        "ip_adapter.5.to_v_ip",
    ),
    "unknown keys": (lambda w: w | {"lora.down": torch.zeros(1)}, "lora.down"),
    "unknown layer keys": (lambda w: w | {"ip_adapter.1.to_q_lora.up.weight": torch.zeros(1)}, "to_q_lora"),
    "unknown projector": (
        lambda w: {k.replace("latents", "queries"): t for k, t in w.items()},
        "unknown image projector",
    ),
    "widths differ": (
        lambda w: w | {"ip_adapter.3.to_k_ip.weight": torch.zeros(64, 80)},
        r"ip_adapter.3.to_k_ip.weight has shape",
    ),
    "a checkpoint": (
        lambda w: {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)},
        "a whole checkpoint.*Load Checkpoint",
    ),
    "a piece is gone": (lambda w: {k: t for k, t in w.items() if "norm_out" not in k}, "image_proj.norm_out.weight"),
    "a piece is cut": (lambda w: w | {"image_proj.proj_out.bias": torch.zeros(3)}, "image_proj.proj_out.bias"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_no_adapter_says_what_it_is(case, tmp_path):
    """The message names the file, what was found, and what to do."""
    damage, words = BROKEN[case]
    save_file(damage(tiny_file()), tmp_path / "broken.safetensors")
    with pytest.raises(CheckpointError, match=words) as caught:
        load_adapter(str(tmp_path / "broken.safetensors"))
    assert "broken.safetensors" in str(caught.value)
    assert any(words in str(caught.value) for words in ("Load IP-Adapter", "download it again", "use Load Checkpoint"))


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_a_truncated_file_and_a_web_page_say_so(ending, tmp_path):
    """Downloads that broke off are the commonest broken file."""
    whole, cut, page = (tmp_path / f"{name}.{ending}" for name in ("whole", "cut", "page"))
    save_file(tiny_file(), whole) if ending == "safetensors" else torch.save(nest(tiny_file()), whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    page.write_text("<!doctype html><title>404</title>")
    for file in (cut, page):
        with pytest.raises(CheckpointError, match=f"{file.name}: cannot be read.*download it again"):
            load_adapter(str(file))
