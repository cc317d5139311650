"""The container of a file is told by its first bytes."""

import pytest
import torch
from pack.ipadapter_core.checkpoint.headers import Container, container_of, read_header
from safetensors.torch import save_file

pytestmark = pytest.mark.inputs


@pytest.mark.parametrize("length", (0x0280, 0x0380, 0x0480, 0x0580))
def test_a_header_whose_length_looks_like_a_pickle_is_safetensors(tmp_path, length):
    """The first two bytes are those that every pickle begins with."""
    file = tmp_path / "a.safetensors"
    save_file({"weight": torch.ones(2)}, file, {"note": ""})
    short = int.from_bytes(file.read_bytes()[:8], "little")
    save_file({"weight": torch.ones(2)}, file, {"note": "a" * (length - short)})
    assert file.read_bytes()[:2] == length.to_bytes(2, "little")
    assert container_of(file) is Container.SAFETENSORS
    assert read_header(file).shapes == {"weight": (2,)}


def test_pickles_are_still_pickles(tmp_path):
    """As a zip file and as a bare stream."""
    for zipped in (True, False):
        torch.save({"{": torch.ones(2)}, tmp_path / "a.bin", _use_new_zipfile_serialization=zipped)
        assert container_of(tmp_path / "a.bin") is Container.TORCH
