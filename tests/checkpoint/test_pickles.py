"""PyTorch's own files: names are looked through before anything is made of them."""

import argparse
import collections

import pytest
import torch
from pack.ipadapter_core.checkpoint.pickles import Inert, UnsafePickleError, read_tree

pytestmark = pytest.mark.trust


class Runs:
    """Prints when it is unpickled."""

    def __reduce__(self):
        return print, ("run by a file",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_names_are_refused_before_anything_is_read(zipped, tmp_path, monkeypatch, capsys):
    """Ours say which names; PyTorch's reader, which would refuse them too, is not asked."""
    torch.save({"a": Runs(), "b": torch.zeros(1)}, tmp_path / "a.bin", _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("PyTorch was asked"))
    with pytest.raises(
        UnsafePickleError, match=r"more than tensors \(builtins.print|more than tensors \(__builtin__.print"
    ):
        read_tree(tmp_path / "a.bin", "cpu")
    assert "run by a file" not in capsys.readouterr().out


def test_what_trainers_keep_becomes_inert(tmp_path):
    """Arguments and the like stand for nothing; tensors are as they were, and PyTorch's own list is as before."""
    before = torch.serialization.get_safe_globals()  # in no order: PyTorch keeps a set
    tree = {
        "a": torch.arange(3.0),
        "args": argparse.Namespace(lr=1.0),
        "order": collections.OrderedDict(b=torch.ones(2)),
    }
    torch.save(tree, tmp_path / "a.bin")
    found = read_tree(tmp_path / "a.bin", "cpu")
    assert torch.equal(found["a"], tree["a"]) and torch.equal(found["order"]["b"], tree["order"]["b"])
    assert isinstance(found["args"], Inert) and not vars(found["args"])
    after = torch.serialization.get_safe_globals()
    assert set(after) == set(before) and len(after) == len(before)
