"""A corpus of hostile files, one of each kind that is known: one sentence, at once, in little memory, and nothing is run."""

import io
import json
import os
import pickle
import resource
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.errors import CheckpointError
from pack.ipadapter_core.limits import HEADER_BYTES, MESSAGE
from pack.ipadapter_core.presets.identify import FileKind, identify
from pack.tools.miniature.models import adapter_weights
from pack.tools.time_bars import within
from safetensors.torch import save, save_file

pytestmark = [pytest.mark.trust, pytest.mark.inputs]

WEIGHTS = adapter_weights("plus", [32, 64, 32], 96)
KEY = "ip_adapter.3.to_k_ip.weight"
SAFE = save(WEIGHTS)
MEGABYTES = 500
MARK = Path(tempfile.gettempdir()) / f"run by a file {os.getpid()}"  # what a pickle that is run makes


def safetensors(header, data=b"\0" * 4096):
    """A file of a header as it is given."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def with_tensor(tensor, key=KEY):
    return save(WEIGHTS | {key: tensor})


def torch_file(tree, old=False):
    stream = io.BytesIO()
    torch.save(tree, stream, _use_new_zipfile_serialization=not old)
    return stream.getvalue()


def changed_zip(content, compression=zipfile.ZIP_STORED, **members):
    """An archive of PyTorch's with members of other contents."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", compression) as new:
        for one in old.infolist():
            name = one.filename.rsplit("/", 1)[-1]
            new.writestr(one.filename, members.get(name.replace(".", "_"), old.read(one)))
    return stream.getvalue()


class Runs:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (str(MARK),)


def deep(levels):
    tree = {"a": torch.zeros(1)}
    for _ in range(levels):
        tree = {"a": tree}
    return tree


def doubled(levels):
    """A dictionary that holds the one below it twice: few bytes, 2 ** levels tensors."""
    tree = {"a": torch.zeros(1)}
    for _ in range(levels):
        tree = {"a": tree, "b": tree}
    return tree


MANY = {f"ip_adapter.{n}.to_k_ip.weight": entry([1], 0, 4) for n in range(100_000)}
SMALL = torch_file(dict(list(WEIGHTS.items())[:4]))
CORPUS = {  # name: content
    "empty": b"", "one byte": b"\x00", "truncated": SAFE[: len(SAFE) // 2], "truncated header": SAFE[:300],
    "text": b"hello " * 100, "a web page": b"<!doctype html>", "an image": b"\x89PNG\r\n\x1a\n" + bytes(99),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a header of 2**63 bytes": struct.pack("<Q", 2**63) + b"{" * 64,
    "a header of 50 MB of metadata": safetensors({"__metadata__": {"a": "x" * 50_000_000}}),
    "metadata that is a list": safetensors({"__metadata__": [1]}),
    "metadata that is no text": safetensors({"__metadata__": {"a": 1}}),
    "nested without end": safetensors(b'{"a":' + b"[" * 200_000),
    "a list": safetensors(b"[1]"), "not UTF-8": safetensors(b'{"\xff": 1}'),
    "a number of 5,000 digits": safetensors(b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": []}}'),
    "100,000 keys": safetensors(MANY), "100,000 keys without a place": safetensors(dict.fromkeys(MANY, 0)),
    "a key of a megabyte": safetensors({"k" * 1_000_000: entry([1], 0, 4)}),
    "entries that are none": safetensors({"a": 1}), "an entry without a shape": safetensors({"a": {"dtype": "F32"}}),
    "10**15 rows": safetensors({KEY: entry([10**15, 4], 0, 4096)}),
    "a negative size": safetensors({KEY: entry([-1, 4], 0, 16)}),
    "sizes whose product overflows": safetensors({KEY: entry([2**33, 2**33], 0, 0)}),
    "a size that is true": safetensors({KEY: entry([True, 4], 0, 16)}),
    "twenty dimensions": safetensors({KEY: entry([1] * 20, 0, 4)}),
    "an unknown dtype": safetensors({KEY: entry([4], 0, 16, "F99")}),
    "offsets that overlap": safetensors({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}),
    "offsets behind the end": safetensors({"a": entry([4096], 0, 16384)}),
    "offsets backwards": safetensors({"a": entry([4], 16, 0)}),
    "whole numbers": with_tensor(torch.ones(64, 96, dtype=torch.int32)),
    "complex numbers": with_tensor(torch.ones(64, 96, dtype=torch.complex64)),
    "NaN": with_tensor(torch.full((64, 96), torch.nan)), "infinity": with_tensor(torch.full((64, 96), torch.inf)),
    "1e38": with_tensor(torch.full((64, 96), 1e38)), "no rows": with_tensor(torch.zeros(0, 96)),
    "one dimension": with_tensor(torch.zeros(96)), "no dimension": with_tensor(torch.tensor(1.0)),
    "a projector of no dimension": with_tensor(torch.tensor(1.0), "image_proj.latents"),
    "a projector of no width": with_tensor(torch.zeros(1, 4, 0), "image_proj.latents"),
    "a head of no width": with_tensor(torch.zeros(3, 96), "image_proj.layers.0.0.to_q.weight"),
    "layer 10**9": with_tensor(torch.zeros(64, 96), "ip_adapter.1000000001.to_k_ip.weight"),
    "a layer of 5,000 digits": with_tensor(torch.zeros(64, 96), f"ip_adapter.{'9' * 5000}.to_k_ip.weight"),
    "a layer in other digits": with_tensor(torch.zeros(64, 96), "ip_adapter.٣.to_k_ip.weight"),
    "depth 10**6": with_tensor(torch.zeros(96), "image_proj.layers.1000000.0.norm1.weight"),
    "9,000 layers": save({f"ip_adapter.{2 * n + 1}.to_{p}_ip.weight": torch.zeros(1, 1) for n in range(9000) for p in "kv"}),
    "a pickle that runs code": torch_file({"a": Runs()}), "the same of old": torch_file({"a": Runs()}, old=True),
    "a bare pickle that runs code": pickle.dumps(Runs(), protocol=2), "the same, protocol 5": pickle.dumps(Runs()),
    "a bytearray of 10 GB": changed_zip(SMALL, data_pkl=b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\xe4\x0b\x54\x02\x85R."),
    "a deflated archive": changed_zip(torch_file({"a": torch.zeros(10_000_000)}), zipfile.ZIP_DEFLATED),
    "an archive without a pickle": changed_zip(b"PK\x05\x06" + bytes(18)), "a broken archive": b"PK\x03\x04" + bytes(60),
    "a cut archive": SMALL[: len(SMALL) // 2], "strided over nothing": torch_file({KEY: torch.zeros(1).expand(10**9, 4)}),
    "sparse": torch_file({KEY: torch.eye(4).to_sparse()}), "on no device": torch_file({KEY: torch.zeros(4, device="meta")}),
    "quantised": torch_file({KEY: torch.quantize_per_tensor(torch.zeros(4, 4), 1.0, 0, torch.qint8)}),
    "dictionaries 100 deep": torch_file(deep(100)), "dictionaries that double": torch_file(doubled(40)),
    "a list of tensors": torch_file([torch.zeros(1)]), "a whole module": torch_file({"a": torch.nn.Linear}),
    "a pickle of nothing": b"\x80\x02.", "a pickle that jumps": b"\x80\x02j\xff\xff\xff\xff.",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["safetensors", "bin"])
@pytest.mark.parametrize("case", CORPUS)
def test_hostile_content(case, ending, tmp_path):
    """Whatever the ending: one of our errors, of at most 1,000 characters, within two seconds and 500 MB."""
    path = tmp_path / f"hostile.{ending}"
    path.write_bytes(CORPUS[case])
    refused(path)
    assert not MARK.exists()


def refused(path):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with within(2):
        assert 20 < len(identify(path).said) <= MESSAGE
        with pytest.raises(CheckpointError) as caught:
            load_adapter(str(path))
    assert 20 < len(str(caught.value)) <= MESSAGE and "hostile" in str(caught.value)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    assert grown < MEGABYTES + (path.stat().st_size / 2**20 if identify(path).kind is not FileKind.UNREADABLE else 0)


def test_things_that_are_no_files(tmp_path):
    """A folder with a file's name, links to nothing and to themselves, a pipe that nobody writes to, a name with `..`."""
    (tmp_path / "hostile folder.safetensors").mkdir()
    (tmp_path / "hostile link.safetensors").symlink_to(tmp_path / "nowhere")
    (tmp_path / "hostile circle.safetensors").symlink_to(tmp_path / "hostile circle.safetensors")
    os.mkfifo(tmp_path / "hostile pipe.safetensors")
    for name in ("folder", "link", "circle", "pipe"):
        refused(tmp_path / f"hostile {name}.safetensors")
    refused(tmp_path / ".." / "hostile nothing")
    refused(tmp_path / ("hostile" * 1000))
    refused(tmp_path / "hostile \0 null")
    refused(tmp_path / "hostile \udcff surrogate")


def test_a_file_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    """As root one may read everything, so the refusal is the system's, stood in for."""
    path = tmp_path / "hostile.safetensors"
    save_file(WEIGHTS, path)

    def denied(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "cannot be read (Permission denied)" in identify(path).said


def test_the_limit_of_a_header_is_where_it_is_said(tmp_path):
    """One byte more is refused by its length, before it is read."""
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(struct.pack("<Q", HEADER_BYTES + 1) + b"{" + bytes(HEADER_BYTES))
    assert f"a header of {HEADER_BYTES + 1} bytes, at most {HEADER_BYTES} are read" in identify(path).said


def test_small_floats_are_loaded_and_finite(tmp_path):
    """Weights of 8 bits are floating point, too: they are handled, not refused."""
    path = tmp_path / "small.safetensors"
    save_file({key: one.to(torch.float8_e4m3fn) for key, one in WEIGHTS.items()}, path)
    network = load_adapter(str(path)).network
    tokens = network.image_tokens(torch.ones(1, 5, 64))
    assert tokens.isfinite().all() and all(part.isfinite().all() for part in network.key_value(1, tokens))
