"""What a step costs beside arithmetic: reads from the device, copies to it, and bytes held, counted on stand-in devices."""

from collections import Counter

import pytest
import torch
from pack.ipadapter_core.adapter.key_value_bank import KeyValueBank
from pack.ipadapter_core.adapter.several_references import WeightedBank
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.patchers.families.unet import compose
from pack.ipadapter_core.patchers.hooks.wrappers import LIKE, STEP
from pack.ipadapter_core.sampling.application import Application
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.sampling.timeline import Timeline
from pack.ipadapter_core.weights.layer_weights import LayerWeight
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.oracles.recorded_passes import patched, sample, short_adapter, short_model
from torch.utils._python_dispatch import TorchDispatchMode

pytestmark = pytest.mark.engine

SDXL = [(640, 64, 64)] * 4 + [(1280, 32, 32)] * 60 + [(640, 64, 64)] * 6
HALF = torch.ones(1, 128, 128).tril()
FADE = WeightSchedule(((0.0, 0.2), (1.0, 1.0)))
CASES = {
    "plain": (Strength(), None),
    "window": (Strength(1.0, 0.1, 0.9), None),
    "schedule": (Strength(schedule=FADE), None),
    "mask": (Strength(), HALF),
    "frames": (Strength(frames=(0.3, 0.9)), None),
    "schedule and mask": (Strength(schedule=FADE), HALF),
}


class Copies(TorchDispatchMode):
    """Counts reads of single values ("read"), copies between devices ("copy") and changes of dtype ("cast")."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function._overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "is_nonzero", "item"):
            self.counts["read"] += 1
        elif name == "_to_copy":
            self.counts["copy" if out.device != args[0].device else "cast"] += 1
        elif name == "copy_" and args[0].device != args[1].device:
            self.counts["copy"] += 1
        return out


def true_size(strength, mask):
    """An application with SDXL's 70 layers at their widths and 16 tokens."""
    banks = [tuple(torch.zeros(2, 16, width) for width, *_ in SDXL) for _ in range(2)]
    blocks = tuple(("input", index, 0) for index in range(len(SDXL)))
    layers = tuple(LayerWeight() for _ in SDXL)
    return Application(
        blocks, (WeightedBank(KeyValueBank(*banks)),), layers, strength, mask if mask is None else canvas_mask(mask)
    )


def layer_calls(application, run, latent, sigma, like):
    """One step as the layers see it: decided once, then 70 calls of the hook on a device whose values cannot be read."""
    foreign = {block: lambda query, key, value, options: torch.empty_like(query) for block in application.blocks}
    options = {"cond_or_uncond": [1, 0], "n_heads": 10, "original_shape": [4, *latent.shape[1:]]}
    step = run.step([[], []], latent, sigma, [application])
    options |= {STEP: step, LIKE: like, "patches_replace": {"attn2": foreign}}
    options = compose([application], options, run)
    for hook, (width, height, columns) in zip(options["patches_replace"]["attn2"].values(), SDXL, strict=True):
        query = torch.empty(4, height * columns, width, device=like.device, dtype=like.dtype)
        hook(query, None, None, options | {"activations_shape": [4, width, height, columns]})


@pytest.mark.parametrize("case", CASES)
def test_copies_of_a_layer_on_a_device_that_cannot_be_read(case, capsys):
    """SDXL's 70 layers at true size on the meta device, where every read of a value is an error; the step's own is on the host.

    After the first step nothing is sent or cast but a step's one weight.
    """
    strength, mask = CASES[case]
    application = true_size(strength, mask)
    sampling = short_model().get_model_object("model_sampling")
    run, like = Run(timeline=Timeline(sampling.percent_to_sigma)), torch.empty(0, device="meta", dtype=torch.float16)
    seen = []
    for percent in (0.2, 0.5, 0.8):
        sigma = torch.full((2,), sampling.percent_to_sigma(percent))
        with Copies() as copies:
            layer_calls(application, run, torch.empty(2, 4, 128, 128, device="meta"), sigma, like)
        seen.append(copies.counts)
    held = application.bytes_on(like.device)
    with capsys.disabled():
        steps = ", ".join(f"{count['copy']} copies {count['read']} reads {count['cast']} casts" for count in seen)
        print(f"\n  {case:18} steps 1 to 3: {steps}; held {held:,} bytes")
    timed = not strength.whole_run
    for count in seen[1:]:
        assert count["read"] == timed
        assert count["copy"] == 0
        assert count["cast"] <= (1 if strength.frames or strength.schedule else 0)
    assert held <= 11_000_000 + (mask is not None) * 20_000


@pytest.mark.parametrize("case", CASES)
def test_copies_of_a_whole_run(case, capsys):
    """A run in bfloat16 through ComfyUI's KSampler, with and without us: what each step reads, copies and casts more.

    The first step places banks and masks; the following read one value at most.
    """
    strength, mask = CASES[case]
    model = short_model(torch.bfloat16)
    runs = [model, patched(model, short_adapter(model), strength=strength, mask=mask)]
    counts = [counted_steps(one) for one in runs]
    more = [
        {name: ours[name] - bare[name] for name in ("read", "copy", "cast")} for bare, ours in zip(*counts, strict=True)
    ]
    with capsys.disabled():
        print(f"\n  {case:18} steps 1 to 3 add: {more}")
    assert all(one["read"] <= (not strength.whole_run) and one["copy"] == 0 and one["cast"] <= 1 for one in more[1:])


def counted_steps(model) -> list[Counter]:
    """The counts of each step of a run; the second step ends where its image is shown."""
    totals = []
    with Copies() as copies:
        sample(model, steps=4, callback=lambda *_: totals.append(Counter(copies.counts)))
    starts = [Counter(), *totals]
    return [Counter({key: end[key] - start[key] for key in end}) for start, end in zip(starts, totals, strict=False)][
        :3
    ]
