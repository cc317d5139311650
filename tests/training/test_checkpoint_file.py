"""Checkpoints: to the bit, whole or not at all, and of this training alone."""

import errno

import pytest
import torch
from pack.ipadapter_core.adapter import whole_file
from pack.ipadapter_core.errors import TrainingError
from pack.ipadapter_core.training.loop import Training
from pack.ipadapter_core.training.schedule import Schedule

pytestmark = pytest.mark.training


def trained(file, steps=3, identity="this one"):
    """A training of two tensors of several steps, and its loss."""
    generator = torch.Generator().manual_seed(1)
    parameters = {name: torch.randn(3, 2, generator=generator, requires_grad=True) for name in "ab"}
    made = Training("two", parameters, Schedule(steps, 0.1, warm_up=1), file, identity)
    made.run(lambda batch: sum((one - batch).square().sum() for one in parameters.values()))
    return made


def no_room(*_args, **_more):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_everything_comes_back_to_the_bit(tmp_path):
    """Weights, average, the optimiser's state and its numbers, losses."""
    one = trained(tmp_path / "a.safetensors")
    other = trained(tmp_path / "a.safetensors")
    for key in "ab":
        assert torch.equal(one.parameters[key], other.parameters[key])
        assert torch.equal(one.average[key], other.average[key])
    states = [made.optimizer.state_dict() for made in (one, other)]
    assert states[0]["param_groups"] == [
        {**group, "betas": tuple(group["betas"])} for group in states[1]["param_groups"]
    ]
    for place, entries in states[0]["state"].items():
        assert all(torch.equal(tensor, states[1]["state"][place][name]) for name, tensor in entries.items())
    assert one.progress.losses == other.progress.losses and len(one.progress.losses) == 3


def test_a_full_disk_keeps_the_last_one(tmp_path, monkeypatch):
    """To the byte, and nothing half written lies beside it."""
    file = tmp_path / "a.safetensors"
    trained(file)
    before = file.read_bytes()
    monkeypatch.setattr(whole_file, "save_file", no_room)
    with pytest.raises(TrainingError, match="No space left.*step 3 stays"):
        trained(file, steps=5)
    assert file.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]


def test_half_a_file_is_never_there(tmp_path, monkeypatch):
    """What was written until the disk was full is gone."""
    whole = whole_file.save_file

    def half(tensors, file, metadata):
        whole(tensors, file, metadata)
        with file.open("rb+") as opened:
            opened.truncate(40)
        no_room()

    monkeypatch.setattr(whole_file, "save_file", half)
    with pytest.raises(TrainingError, match="there is none yet"):
        trained(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, None], ids=["empty", "zeros", "another training"])
def test_another_file_is_refused(tmp_path, content):
    """Nothing is made of a broken file or of another training's, and it stays."""
    file = tmp_path / "a.safetensors"
    if content is None:
        trained(file, identity="another one")
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    with pytest.raises(TrainingError, match="cannot be gone on from"):
        trained(file)
    assert file.read_bytes() == before
