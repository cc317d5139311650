"""The header of a file, by its first bytes."""

import pytest
from pack.ipadapter_core.checkpoint.headers import read_shapes

pytestmark = pytest.mark.trust


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580])
def test_a_header_length_that_begins_like_a_pickle(length, tmp_path):
    """Such a safetensors file is one: its header's length happens to be a pickle's first two bytes."""
    entry = b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    file = tmp_path / "a.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + entry.ljust(length))
    assert read_shapes(file) == {"a": (0,)}
