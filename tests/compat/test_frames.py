"""Weights and images over frames, as IPAdapter Weights handed them on."""

import pytest
import torch
from pack.ipadapter_core.compat.frames import Strategy, frames_of, schedule_of_prompts

pytestmark = pytest.mark.catalogue


def test_catalogue_old_frames():
    """Images 0, 1, 2 by each method; alternating weights are mirrored in their own range, the inverse is the reversed row."""
    pictures = torch.arange(3.0).view(3, 1, 1, 1)
    row = {"weights": "1.0, 0.2", "frames": 3, "add_starting_frames": 1, "add_ending_frames": 1}
    full = frames_of(Strategy(**row, method="full batch"), pictures)
    assert full.first.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2] and full.second is None
    shift = frames_of(Strategy(**row, method="shift batches"), pictures)
    assert shift.first.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 2]
    assert shift.second.flatten().tolist() == [0, 1, 1, 1, 2, 2, 2, 2]
    assert shift.weights == pytest.approx([1, 1, 0.6, 0.2, 1, 0.6, 0.2, 0.2]) and shift.backwards == shift.weights[::-1]
    turn = frames_of(Strategy(**row, method="alternate batches"), pictures)
    assert turn.first.flatten().tolist() == [0, 0, 0, 0, 2, 2, 2, 2] and turn.second.flatten().tolist() == [
        0,
        1,
        1,
        1,
        1,
        1,
        1,
        2,
    ]
    assert turn.weights == pytest.approx([1, 1, 0.6, 0.2, 0.2, 0.6, 1, 1])
    words = schedule_of_prompts(Strategy(**row).of(pictures), "a cat\n\na dog")
    assert words == '"0": "a cat",\n"1": "a cat",\n"4": "a dog",\n"7": "a dog",\n"10": "a dog",\n'
