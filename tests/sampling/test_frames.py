"""Batches and video: a reference, a weight and a mask for each image, whichever of them the model is shown."""

import pytest
import torch
from pack.ipadapter_core.weights.scaling import Scaling
from pack.tests.oracles.frame_runs import SIZE, Frames, check, everything, noise
from pack.tests.oracles.seen_queries import (
    apply,
    exact_adapter,
    exact_model,
    references,
    sample,
    text,
    tokens_of,
)

import comfy.samplers
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_context_windows import ContextWindowsManualNode

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("pictures, count", [(4, 3), (2, 5), (3, 1)], ids=["fewer", "more", "one"])
def test_each_picture_has_its_own(pictures, count, seen):
    """References, weights and masks one per image, a weight of 0 keeping its turn; the last repeats, the rest is cut."""
    model = exact_model()
    adapter = exact_adapter(model)
    patched, given, of_frame = everything(model, adapter, count, 2)
    frames = Frames(patched)
    sample(patched, text(1) + text(3), text(2), (pictures, 4, *SIZE))
    assert frames.calls == [list(range(pictures)) * 3]
    assert check(seen, frames, patched, adapter, given, of_frame) < 1e-9


def test_passes_one_by_one(seen, monkeypatch):
    """The same when memory is so short that every pass is a call of its own."""
    model = exact_model()
    adapter = exact_adapter(model)
    patched, given, of_frame = everything(model, adapter, 3, 4)
    frames = Frames(patched)
    monkeypatch.setattr(type(patched.model), "memory_required", lambda *given, **named: 1e20)
    sample(patched, text(1) + text(3), text(2), (4, 4, *SIZE))
    assert frames.calls == [[0, 1, 2, 3]] * 3
    assert check(seen, frames, patched, adapter, given, of_frame) < 1e-9


def test_a_mask_for_each_reference_in_turn(seen):
    """One per frame, each with a mask of its own size or none, under a common mask."""
    model = exact_model()
    adapter = exact_adapter(model)
    own = (noise(1, 10, 6, seed=4), None, noise(1, 4, 4, seed=5))
    given, common = references(3, masks=own), noise(1, 20, 12, seed=6)
    patched = apply(model, adapter, given, common, per_frame=True)
    frames = Frames(patched)
    sample(patched, text(1), text(2), (3, 4, *SIZE), cfg=1.0)
    fine = [
        torch.ones(20, 12) if one is None else torch.nn.functional.interpolate(one[None], (20, 12))[0, 0] for one in own
    ]

    def of_frame(frame, grid):
        return frame, 1.0, tokens_of((fine[frame] * common[0]).numpy(), grid, (*SIZE, 0, 0), SIZE)

    assert check(seen, frames, patched, adapter, given, of_frame) < 1e-9


@pytest.mark.parametrize("anchor", [False, True], ids=["", "with an anchor frame"])
@pytest.mark.parametrize("schedule", ["standard_static", "looped_uniform", "batched"])
def test_context_windows_of_comfyui(schedule, anchor, seen):
    """Windows over a batch of 8, looped and of uneven length too: each image keeps what is its own in the whole batch."""
    model = exact_model()
    adapter = exact_adapter(model)
    patched, given, of_frame = everything(model, adapter, 5, 6)
    frames = Frames(patched)
    overlap = 0 if schedule == "batched" else 1
    windowed = ContextWindowsManualNode.execute(
        patched,
        3,
        overlap,
        schedule,
        1,
        True,
        "pyramid" if schedule != "batched" else "flat",
        0,
        False,
        causal_window_fix=anchor,
    ).args[0]
    sample(windowed, text(1), text(2), (8 if schedule != "batched" else 9, 4, *SIZE))
    assert len(frames.calls) > 2
    assert any(call[0] != 0 for call in frames.calls)
    assert any(len(call) == 8 for call in frames.calls) == anchor
    assert check(seen, frames, windowed, adapter, given, of_frame) < 1e-9


def test_conds_split_over_windows(seen):
    """Several prompts shared out over the windows: every window's prompt is still the positive one."""
    model = exact_model()
    adapter = exact_adapter(model)
    patched, given, of_frame = everything(model, adapter, 5, 6)
    frames = Frames(patched)
    windowed = ContextWindowsManualNode.execute(
        patched,
        4,
        0,
        "standard_static",
        1,
        False,
        "flat",
        0,
        False,
        split_conds_to_windows=True,
        causal_window_fix=False,
    ).args[0]
    sample(windowed, text(1) + text(3), text(2) + text(4), (8, 4, *SIZE))
    assert [sorted(set(call)) for call in frames.calls] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert check(seen, frames, windowed, adapter, given, of_frame) < 1e-9


class SlidingWindows:
    """AnimateDiff-Evolved's part of a step: windows cut inside CALC_COND_BATCH, their frames told through `ad_params`."""

    def __init__(self, windows):
        self.windows = windows

    def __call__(self, executor, model, conds, x_in, timestep, model_options):
        options = model_options["transformer_options"]
        options["ad_params"] = {"full_length": x_in.shape[0], "context_length": 3, "sub_idxs": None}
        if self.windows is None:
            return executor(model, conds, x_in, timestep, model_options)
        out = [torch.zeros_like(x_in) for _ in conds]
        for window in self.windows:
            options["ad_params"]["sub_idxs"] = window
            parts = executor(model, conds, x_in[window], timestep[window], model_options)
            for whole, part in zip(out, parts, strict=True):
                whole[window] = part
        return out


@pytest.mark.parametrize("windows", [None, [[0, 1, 2], [2, 4, 6], [5, 3, 1]]], ids=["all at once", "windows"])
@pytest.mark.parametrize("first", [True, False], ids=["theirs around ours", "ours around theirs"])
def test_animatediff_evolved(windows, first, seen):
    """Its windows are cut inside or outside of our own wrapper, as the order of the nodes has it."""
    model = exact_model()
    adapter = exact_adapter(model)
    if first:
        model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "ADE", SlidingWindows(windows))
    patched, given, of_frame = everything(model, adapter, 4, 3)
    if not first:
        patched.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "ADE", SlidingWindows(windows))
    frames = Frames(patched)
    sample(patched, text(1), text(2), (7, 4, *SIZE))
    assert len(frames.calls) == (3 if windows else 1)
    assert check(seen, frames, patched, adapter, given, of_frame) < 1e-9


@pytest.mark.parametrize("scaling", list(Scaling), ids=lambda mode: mode.name)
def test_a_batch_is_a_loop(scaling):
    """Four images with a reference, weight and mask each, against four runs of one image at that weight, in every mode."""
    model = exact_model()
    adapter = exact_adapter(model)
    given, masks, weights = references(4), noise(4, 23, 31), (0.3, 0.0, 1.5, 0.8)
    together = sample(
        apply(model, adapter, given, masks, per_frame=True, frames=weights, scaling=scaling),
        text(1),
        text(2),
        (4, 4, *SIZE),
    )
    every = torch.randn((4, 4, *SIZE), generator=torch.Generator().manual_seed(1))
    for picture in range(4):
        alone = apply(
            model, adapter, given[picture : picture + 1], masks[picture : picture + 1], weight=weights[picture],
            scaling=scaling,
        )  # fmt: skip
        guider = comfy.samplers.CFGGuider(alone)
        guider.set_conds(text(1), text(2))
        guider.set_cfg(3.0)
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 1)
        one = every[picture : picture + 1]
        result = guider.sample(one, torch.zeros_like(one), comfy.samplers.sampler_object("euler"), sigmas, seed=1)
        assert torch.allclose(together[picture], result[0], atol=1e-6), picture
