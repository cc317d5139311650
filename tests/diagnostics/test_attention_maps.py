"""Sums of attention as maps over the image."""

import pytest
import torch
from pack.ipadapter_core.diagnostics.attention_maps import attention_maps
from pack.ipadapter_core.diagnostics.recording import MEASURES, MapKey, MapSum, Measure, Recording, RunNotes
from pack.ipadapter_core.errors import RecordingError
from pack.ipadapter_core.masks.token_grid import CANVAS
from pack.ipadapter_core.sampling.application import Application
from pack.ipadapter_core.weights.layer_weights import LayerWeight

pytestmark = pytest.mark.seeing

BLOCK = ("input", 4, 0)


def noted(grid, values, frames=(0,), stride=1):
    """A recording of one application with a share (F, tokens) at one layer, for a latent of 4 x 6."""
    application = Application((BLOCK,), (), (LayerWeight(),))
    recording = Recording()
    recording.begin(RunNotes((1.0, 0.0), (application,), ((0,),)))
    both = torch.zeros(2, 1, *values.shape)
    both[MEASURES.index(Measure.SHARE)] = values
    recording.sums[MapKey(application, BLOCK[:2], grid, (4, 6), CANVAS, frames, stride)] = MapSum(both, 1)
    return recording


def test_a_map_lies_as_its_tokens_do():
    """Row by row from the top left; each latent pixel has the value of its token."""
    values = torch.arange(6.0).unsqueeze(0)
    found = attention_maps(noted((2, 3), values), Measure.SHARE, (4, 6))
    assert found.shape == (1, 1, 4, 6)
    expected = values.view(2, 3).repeat_interleave(2, 0).repeat_interleave(2, 1).double()
    assert torch.allclose(found[0, 0].double(), expected, atol=1e-6)
    assert not attention_maps(noted((2, 3), values), Measure.CONTRIBUTION, (4, 6)).any()


def test_each_frame_has_its_own_map():
    """By its place in the batch; a frame that no window showed is 0."""
    values = torch.tensor([[1.0] * 6, [3.0] * 6])
    found = attention_maps(noted((2, 3), values, frames=(2, 0)), Measure.SHARE, (4, 6))
    assert found[0].amax(dim=(1, 2)).tolist() == pytest.approx([3, 0, 1], abs=1e-6)


def test_a_latent_frame_of_a_video_stands_for_its_frames():
    """Wan's first for one, each other for four: of three latent frames there are nine maps, none of them empty."""
    values = torch.tensor([[1.0] * 6, [3.0] * 6, [2.0] * 6])
    found = attention_maps(noted((2, 3), values, frames=(0, 2, 6), stride=4), Measure.SHARE, (4, 6))
    assert found[0].amax(dim=(1, 2)).tolist() == pytest.approx([1, 3, 3, 3, 3, 2, 2, 2, 2], abs=1e-6)


def test_nothing_noted_is_said():
    """With what has to stand between which nodes."""
    with pytest.raises(RecordingError, match="put Record Attention"):
        attention_maps(Recording(), Measure.SHARE, (4, 6))
