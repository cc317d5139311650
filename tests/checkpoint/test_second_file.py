"""Lynx in two files, under both publishers' names: which belong together, which is taken, and what a wrong pair is told."""

import pytest
import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.checkpoint.headers import read_header
from pack.ipadapter_core.checkpoint.key_names import canonical_names
from pack.ipadapter_core.checkpoint.recognise import recognise
from pack.ipadapter_core.checkpoint.second_file import is_half, nearest_resampler, resampler_in
from pack.ipadapter_core.checkpoint.spec import BaseModel, FormatName
from pack.ipadapter_core.errors import CheckpointError
from pack.ipadapter_core.presets.identify import FileKind, identify
from pack.tools.miniature.hollow_file import hollow_file
from pack.tools.miniature.lynx import full_layers, lite_layers, lynx_lite, resampler
from pack.tools.miniature.transformers import weights_of, xlabs
from safetensors.torch import save_file

pytestmark = [pytest.mark.adapters, pytest.mark.inputs]

LITE, FULL = 2048, 5120


@pytest.fixture
def folder(tmp_path):
    """Two kinds of layers under the names of both publishers, and a resampler for each kind."""
    files = {
        "lynx_lite/ip_layers": lite_layers(3, 128), "lynx_full/ip_layers": full_layers(4, 128, 96),
        "Lynx/lite": lite_layers(3, 128, by_block=True), "Lynx/full": full_layers(4, 128, 96, by_block=True),
        "lynx_lite/resampler": resampler(64, prefix=""), "lynx_full/resampler": resampler(96, prefix=""),
    }  # fmt: skip
    for name, shapes in files.items():
        path = tmp_path / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        save_file(weights_of(shapes), path)
    return tmp_path


def file(folder, name):
    return folder / f"{name}.safetensors"


@pytest.mark.parametrize("kind", ["lite", "full"])
def test_both_publishers_files_are_one_adapter(folder, kind):
    """The same tensors under the same names, whoever numbered the layers; weights are those of the files."""
    second = str(file(folder, f"lynx_{kind}/resampler"))
    one, other = (load_adapter(str(file(folder, name)), second) for name in (f"lynx_{kind}/ip_layers", f"Lynx/{kind}"))
    assert one.spec.layers == other.spec.layers and one.spec.projector.tokens == 5
    assert one.spec.base is BaseModel.WAN and one.spec.format is FormatName.LYNX
    found, same = one.network.state_dict(), other.network.state_dict()
    assert found.keys() == same.keys()
    layers = weights_of(lite_layers(3, 128) if kind == "lite" else full_layers(4, 128, 96))
    for key, tensor in layers.items():
        number, part = key.split(".", 1)
        assert torch.equal(found[f"ip_adapter.{number}.cross.{part}"], tensor)
    assert "Wan 14B, Lynx" in one.spec.describe() and "5 image tokens" in one.spec.describe()


def test_layers_of_every_second_block_are_counted_one_by_one():
    """0, 2, 4 of Kijai's lite file are 0, 1, 2; a full file's stay."""
    lite = canonical_names(lite_layers(3, 8, 8, by_block=True))
    assert {int(name.split(".")[1]) for name in lite.values()} == {0, 1, 2}
    full = canonical_names(full_layers(4, 8, 8, by_block=True))
    assert {int(name.split(".")[1]) for name in full.values()} == {0, 1, 2, 3}
    broken = {key: one for key, one in lite_layers(4, 8, 8, by_block=True).items() if ".4." not in key}
    assert {int(name.split(".")[1]) for name in canonical_names(broken).values()} == {0, 1, 3}


def test_half_an_adapter_is_listed_and_says_what_is_missing(folder):
    """The layers alone are an adapter to choose; loading them names the second file; the resampler says what it is."""
    found = identify(file(folder, "lynx_lite/ip_layers"))
    assert found.kind is FileKind.ADAPTER and found.spec is not None and is_half(found.spec)
    assert "its resampler, for image tokens of width 64, is a second file" in found.said
    with pytest.raises(
        CheckpointError, match="layers of Lynx alone.*tokens of width 64.*resampler_name of Load IP-Adapter"
    ):
        load_adapter(str(file(folder, "lynx_lite/ip_layers")))
    alone = identify(file(folder, "lynx_full/resampler"))
    assert (
        alone.resampler == 96
        and alone.spec is None
        and "the resampler of Lynx for Wan, half of an adapter" in alone.said
    )


@pytest.mark.parametrize(
    ("layers", "second", "message"),
    [
        (
            "lynx_lite/ip_layers",
            "lynx_full/resampler",
            "tokens of width 64.*but resampler.safetensors makes .* of width 96",
        ),
        ("Lynx/full", "lynx_lite/resampler", "tokens of width 96.*but resampler.safetensors makes .* of width 64"),
        ("Lynx/full", "Lynx/lite", "lite.safetensors is no resampler of an identity"),
    ],
)
def test_a_pair_that_does_not_belong_together(folder, layers, second, message):
    """One sentence with both widths."""
    with pytest.raises(CheckpointError, match=message):
        load_adapter(str(file(folder, layers)), str(file(folder, second)))


def test_a_second_file_where_none_belongs(folder):
    """An adapter that is whole."""
    save_file(weights_of(xlabs(2, 128, 64)), folder / "xlabs.safetensors")
    save_file(weights_of(lynx_lite()), folder / "both.safetensors")
    for name in ("xlabs", "both"):
        with pytest.raises(CheckpointError, match="is whole in one file, found resampler.safetensors.*to auto"):
            load_adapter(str(file(folder, name)), str(file(folder, "lynx_lite/resampler")))
    assert load_adapter(str(file(folder, "both"))).spec.projector.tokens == 5


def test_the_nearest_file_that_fits(folder):
    """By width; the one beside the layers before others; none where none fits."""
    files = {path: identify(path).resampler for path in folder.rglob("*.safetensors")}
    there = {path: width for path, width in files.items() if width}
    assert len(there) == 2
    other = folder / "Lynx" / "a_resampler.safetensors"
    for name, kind in (("lynx_lite/ip_layers", "lite"), ("Lynx/lite", "lite"), ("Lynx/full", "full")):
        spec = identify(file(folder, name)).spec
        assert nearest_resampler(spec, file(folder, name), there) == file(folder, f"lynx_{kind}/resampler")
        if name == "Lynx/lite":
            assert nearest_resampler(spec, file(folder, name), there | {other: 64}) == other
        assert nearest_resampler(spec, file(folder, name), {other: 7}) is None


def test_published_widths(tmp_path):
    """Lite reads 2048, full 5120."""
    for width, shapes in ((LITE, lite_layers(20, 5120, LITE)), (FULL, full_layers(40, 5120, FULL, 16))):
        path = hollow_file(tmp_path / f"{width}.safetensors", shapes)
        assert recognise(read_header(path), path.name).spec.text_width == width
        second = hollow_file(tmp_path / f"r{width}.safetensors", resampler(width, 1280, 1280, 16, 4, prefix=""))
        assert resampler_in(read_header(second)).width == width


@pytest.mark.parametrize("shape", [(3, 96), (2, 3, 96), (1, 3, 64)])
def test_registers_of_another_shape(shape):
    """They are tokens like the resampler's."""
    shapes = full_layers(4, 128, 96) | {"2.registers": shape}
    names = canonical_names(shapes)
    with pytest.raises(CheckpointError, match=r"cross.registers has shape .*, expected \[1, tokens, 96\]"):
        detect({name: shapes[key] for key, name in names.items()}, "f")


def test_reference_layers_are_named(tmp_path):
    """A file that holds them beside ip layers is not half read: what they are is said."""
    shapes = full_layers(4, 128, 96, by_block=True) | {"blocks.0.self_attn.ref_adapter.to_k_ref.weight": (128, 128)}
    path = hollow_file(tmp_path / "all.safetensors", shapes)
    with pytest.raises(
        CheckpointError, match="is the reference layers of Lynx for Wan.*choose the file with Lynx' ip layers"
    ):
        recognise(read_header(path), path.name)
