"""The header of a file: its container by the first bytes, and nothing in it believed unread."""

import json

import pytest
from pack.ipadapter_core.checkpoint.headers import read_header
from pack.ipadapter_core.errors import CheckpointError
from pack.ipadapter_core.limits import DIMENSIONS

pytestmark = pytest.mark.trust


def entry(shape, start, end, dtype="F32"):
    """One tensor of a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def written(path, header, size=64):
    """A safetensors file of a header, with so many bytes behind it."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    return path


def test_what_fits_is_read(tmp_path):
    """Tensors side by side in any order, empty ones, metadata beside them."""
    header = {
        "b": entry([4], 16, 32),
        "a": entry([2, 2], 0, 16),
        "c": entry([0, 3], 32, 32),
        "__metadata__": {"x": "y"},
    }
    found = read_header(written(tmp_path / "a.safetensors", header))
    assert found.shapes == {"a": (2, 2), "b": (4,), "c": (0, 3)} and found.metadata == {"x": "y"}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, "b overlaps another"),
        ({"a": entry([4], 0, 16), "b": entry([4], 0, 16)}, "overlaps another"),
        ({"a": entry([4], 56, 72)}, "a ends at 72 of 64 bytes"),
        ({"a": entry([5], 0, 16)}, r"a has 16 bytes for \[5\] of F32"),
        ({"a": entry([4], 0, 16, "F16")}, r"a has 16 bytes for \[4\] of F16"),
        ({"a": entry([4], 0, 16, "F99")}, "of F99"),
        ({"a": entry([-1, 4], 0, 16)}, r"a has the shape \[-1, 4\]"),
        ({"a": entry([2**50], 0, 16)}, "a has the shape"),
        ({"a": entry([1] * (DIMENSIONS + 1), 0, 4)}, "a has the shape"),
        ({"a": entry([True, 4], 0, 16)}, "a has the shape"),
        ({"__metadata__": {"a": 1}}, "metadata that is not text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_named(header, said, tmp_path):
    """Each by its own sentence: another check that happens to refuse the file as well would not do."""
    with pytest.raises(CheckpointError, match=said):
        read_header(written(tmp_path / "a.safetensors", header))
