"""A file is mapped, not read: what loading and applying touch, counted."""

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.checkpoint.headers import read_shapes
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.recorded_passes import patched, picture, short_adapter, short_model
from pack.tools.miniature.models import adapter_weights
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode

pytestmark = pytest.mark.engine

WIDTHS = [640] * 16


class Written(TorchDispatchMode):
    """Bytes of new storages that operations write."""

    def __init__(self):
        super().__init__()
        self.bytes, self.names = 0, Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function._overloadpacket.__name__  # set_ only says where a tensor's memory is: in the file, see below
        if isinstance(out, torch.Tensor) and not function.is_view and out.device.type != "meta" and name != "set_":
            self.bytes += out.numel() * out.element_size()
            self.names[name] += 1
        return out


@pytest.fixture
def file(tmp_path) -> Path:
    """An adapter of some megabytes, as files are published: float16."""
    path = tmp_path / "adapter.safetensors"
    weights = adapter_weights("plus", WIDTHS, 768)
    save_file({key: tensor.half() for key, tensor in weights.items()}, path)
    return path


def test_loading_copies_no_weight(file):
    """Loading makes no tensor of its own, and reloading neither."""
    for _ in range(2):
        with Written() as written:
            adapter = load_adapter(str(file))
        assert written.bytes == 0, written.names
        assert all(parameter.dtype == torch.float16 for parameter in adapter.network.parameters())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
def test_loading_maps_the_file(file):
    """Every weight lies inside the file's own pages."""
    adapter = load_adapter(str(file))
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(file))]
    places = [tuple(int(end, 16) for end in line[0].split("-")) for line in lines]
    assert places
    for name, parameter in adapter.network.named_parameters():
        assert any(start <= parameter.data_ptr() < end for start, end in places), name


def test_listing_reads_no_tensor(file):
    """Key names and shapes come from the file's first bytes."""
    size = file.stat().st_size
    with file.open("rb") as whole:
        start = whole.read(2**16)
    file.write_bytes(start)
    with file.open("r+b") as holed:
        holed.truncate(size)  # the tensors are a hole
    shapes = read_shapes(file)
    assert shapes["ip_adapter.1.to_k_ip.weight"] == (640, 768)


def test_applying_again_writes_nothing(capsys):
    """The same reference under another weight costs no tensor operation at all."""
    model = short_model()
    adapter, image = short_adapter(model), picture(2)
    with Written() as first:
        patched(model, adapter, image)
    with Written() as again:
        patched(model, adapter, image, Strength(0.4, 0.1, 0.9))
    with capsys.disabled():
        print(f"\n  applying writes {first.bytes:,} bytes at first, {again.bytes} again")
    assert first.bytes > 0 and again.bytes == 0
