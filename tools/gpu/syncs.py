"""How often a step makes the host wait for the device: never in a layer, at most once where a weight depends on the step."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from comfy.model_patcher import ModelPatcher

from ...ipadapter_core.sampling.strength import Strength
from ...ipadapter_core.weights.schedule import WeightSchedule
from ..bench.scenes import SCENES, Scene
from ..bench.sides import Case, Machine, Ours, given
from .setup import Setup
from .world import FAMILIES, World, sample, world

LENGTHS = (2, 4)  # steps of a run
READS = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.is_nonzero")  # need a value on the host
FADING = Strength(0.8, 0.1, 0.9, WeightSchedule(((0.0, 1.0), (1.0, 0.2))))


class Reads(TorchDispatchMode):
    """Counts the operations whose result the host has to wait for, on any device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Lets everything through."""
        self.count += str(func).startswith(READS)
        return func(*args, **(kwargs or {}))


def nothing_waits(setup: Setup) -> None:
    """Every kind of layer, with a mask and a schedule, then whole steps."""
    dtype = setup.half if setup.on_gpu else torch.float32
    machine = Machine(setup.device, dtype)
    for scene in _scenes(setup):
        ours = Ours(Case(scene, 16, 2, mask=True, schedule=True), machine)
        count = 0
        for layer in scene.layers:
            work = ours.work(given(ours.case, layer, machine))
            work()
            with Reads() as reads, _forbidden(setup):
                work()
            count += reads.count
        setup.at_most("syncs", f"{scene.name}: waits in all kinds of layers", count, 0)
    _whole_steps(setup)


def _scenes(setup: Setup) -> list[Scene]:
    if setup.tiny:
        return [Scene("SD1.5", 64, 2), Scene("FLUX", 32, 1)]
    return [scene for scene in SCENES if scene.pixels in (512, 1024)]


class _forbidden:
    """CUDA raises where the host waits."""

    def __init__(self, setup: Setup):
        self.on = setup.on_gpu

    def __enter__(self) -> None:
        if self.on:
            torch.cuda.set_sync_debug_mode("error")

    def __exit__(self, *_: object) -> None:
        if self.on:
            torch.cuda.set_sync_debug_mode("default")


def _whole_steps(setup: Setup) -> None:
    """What a step adds is the difference of two lengths of a run; what a run does once at its start is a figure beside it."""
    one = world(FAMILIES[0], setup)
    runs = {"alone": one.model, "always": one.applied(), "window and schedule": one.applied(FADING)}
    counts = {name: [_reads(one, model, steps) for steps in LENGTHS] for name, model in runs.items()}
    for name, bar in (("always", 0.0), ("window and schedule", 1.0)):
        short, long = (mine - alone for mine, alone in zip(counts[name], counts["alone"], strict=True))
        each = (long - short) / (LENGTHS[1] - LENGTHS[0])
        setup.at_most("syncs", f"SD1.5: waits added to a step, {name}", each, bar, "a step")
        setup.figure("syncs", f"SD1.5: waits when a run starts, {name}", short - each * LENGTHS[0], "")


def _reads(one: World, model: ModelPatcher, steps: int) -> int:
    sample(one, model, steps)
    with Reads() as reads:
        sample(one, model, steps)
    return reads.count
