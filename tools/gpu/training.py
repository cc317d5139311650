"""Training at true size: what a step costs in time and memory, that it learns, and that the model stays as it was."""

from statistics import median
from time import perf_counter

import torch

from ...ipadapter_core.training.base_model import BaseSettings
from ...ipadapter_core.training.conditioning import Entry
from ...ipadapter_core.training.examples import Example
from ...ipadapter_core.training.fingerprint import weights_digest
from ...ipadapter_core.training.schedule import RateCourse, Schedule
from ...ipadapter_core.training.train import Moment, TrainingSettings, train_adapter
from ..bench.timing import wait
from ..miniature import transformers as dit
from .setup import Setup
from .world import FAMILIES, World, conditioning, world

STEPS = 6
TRAINED = ("SD1.5", "SDXL")


def training_fits(setup: Setup) -> None:
    """A few steps of one image with the settings that Train IP-Adapter begins with."""
    for family in FAMILIES:
        if family.name in TRAINED:
            _one(world(family, setup), setup)
            if setup.on_gpu:
                torch.cuda.empty_cache()


class _OneExample:
    """The same noise for an image, a caption and a reference in every batch."""

    def __init__(self, given: World):
        self.given = given

    def draw(self, generator: torch.Generator) -> Example:
        """It, whatever the generator."""
        features = self.given.prompt.references[0].image.features.float()
        (text,) = conditioning(self.given, 6)
        entries: list[Entry] = [(text[0], text[1])]
        return Example(dit.noise(1, *self.given.latent, seed=5), entries, features, torch.zeros_like(features))

    def identity(self) -> str:
        """There is one alone."""
        return "noise"


def _one(given: World, setup: Setup) -> None:
    name, moments = given.family.name, [perf_counter()]

    def look(_: Moment) -> None:
        wait(setup.device)
        moments.append(perf_counter())

    if setup.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    schedule = Schedule(STEPS, 1e-4, warm_up=1, average=0.5, course=RateCourse.CONSTANT)
    before = weights_digest(given.model.model)
    made = train_adapter(
        given.model, given.adapter, _OneExample(given), TrainingSettings(schedule, BaseSettings()), look
    )
    seconds = [after - before for before, after in zip(moments[1:], moments[2:], strict=False)]
    size = "x".join(str(8 * side) for side in given.latent[-2:])
    setup.figure(
        "training", f"{name}: a step of one image of {size}", median(seconds), "s", "bf16, gradient checkpointing"
    )
    if setup.on_gpu:
        peak = torch.cuda.max_memory_allocated() / 1e9
        setup.figure(
            "training", f"{name}: memory, at most", peak, "GB", "the model, the adapter, its gradients and AdamW"
        )
    else:
        setup.not_here("training", f"{name}: memory, at most")
    changed = any(
        not torch.equal(one, made.adapter.network.state_dict()[key])
        for key, one in given.adapter.network.state_dict().items()
    )
    setup.holds("training", f"{name}: the adapter learns", changed)
    setup.holds("training", f"{name}: the model stays as it was", before == weights_digest(given.model.model))
