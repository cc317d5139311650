"""Trains an adapter on a frozen model: draws examples, asks the model through the hooks of sampling, and lets it learn."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from comfy.model_patcher import ModelPatcher

from ..adapter.managed import ManagedAdapter
from ..errors import TrainingError
from ..quoting import listed, quoted
from .base_model import BaseSettings, FrozenBase, frozen_base
from .conditioning import CaptionedRows, captioned
from .examples import Example, Examples
from .fingerprint import digest
from .live_adapter import LearningAdapter, learning, managed_network
from .loop import Progress, Training
from .objective import NoisyLatents, Weighting, add_noise, losses
from .schedule import Schedule

SEEDS = 2**63  # PyTorch's generators take a number below twice as much
WITHOUT_GRADIENT = (
    "does not require grad",
    "autograd formula",
    "derivative for",
    "is not differentiable",
)  # PyTorch's words
STRIDE = 1_000_003  # between the seeds of trainings, so that no two share a batch's


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that a training's course depends on, beside the data and the weights it begins with."""

    schedule: Schedule
    base: BaseSettings = field(default_factory=BaseSettings)
    weighting: Weighting = Weighting.DENOISED
    seed: int = 0


class Trained(NamedTuple):
    """What came out: an adapter of averaged weights, how it went, and SHA-256 of the base's weights."""

    adapter: ManagedAdapter
    progress: Progress
    base: str


class Moment(NamedTuple):
    """A training after one of its steps, for whoever shows it."""

    step: int
    loss: float
    base: FrozenBase
    average: Callable[[], ManagedAdapter]


Watch = Callable[[Moment], None]
FileFor = Callable[[str], Path]  # where the checkpoint of a training of this identity goes


def train_adapter(
    model: ModelPatcher,
    adapter: ManagedAdapter,
    examples: Examples,
    settings: TrainingSettings,
    watch: Watch | None = None,
    file: FileFor | None = None,
) -> Trained:
    """Trains a copy of an adapter on a frozen model; the adapter and the model that went in stay as they were.

    With a `file` it goes on from there if it was left, to the bit, and keeps there what it learns, cancelled or not.
    Raises `TrainingError`, `ModelMismatchError` or `EncoderMismatchError` where something does not fit or goes wrong.
    Source: Ye et al. 2023, "IP-Adapter", sections 3.2 and 4.1; the noise levels and the error as ComfyUI's Train LoRA.
    """
    with torch.inference_mode(False), torch.enable_grad():
        pupil = learning(adapter, model)
        with frozen_base(model, settings.base, pupil.prepared) as base:
            identity = _identity(pupil, examples, settings, base.digest)
            where = None if file is None else file(identity)
            training = Training("adapter", pupil.parameters(), settings.schedule, where, identity)
            run = TrainingRun(base, pupil, examples, settings)
            _take_steps(training, run, None if watch is None else _Watching(watch, base, pupil))
        return Trained(_averaged(pupil, training), training.progress, base.digest)


def _take_steps(training: Training, run: "TrainingRun", watching: "_Watching | None") -> None:
    """All steps that remain. Raises `TrainingError` where PyTorch says that some layer of the model has no gradient."""
    try:
        training.run(run.loss, watching, _check_gradients)
    except RuntimeError as error:
        if not any(words in str(error) for words in WITHOUT_GRADIENT):
            raise
        raise TrainingError(
            f"the model's layers carry no gradients ({quoted(error)}), expected a model in bf16, fp16 or fp8: it looks "
            "quantised, or compiled for sampling alone; load another one for Train IP-Adapter"
        ) from error


def _averaged(pupil: LearningAdapter, training: Training) -> ManagedAdapter:
    """An adapter of the average, beside what does not learn."""
    return managed_network(pupil.spec, pupil.network.state_dict() | training.average, pupil.managed)


class _Watching(NamedTuple):
    """Tells whoever watches of each step."""

    watch: Watch
    base: FrozenBase
    pupil: LearningAdapter

    def __call__(self, training: Training) -> None:
        progress = training.progress
        self.watch(Moment(progress.step, progress.losses[-1], self.base, lambda: _averaged(self.pupil, training)))


class TrainingRun(NamedTuple):
    """One training's parts."""

    base: FrozenBase
    pupil: LearningAdapter
    examples: Examples
    settings: TrainingSettings

    def loss(self, number: int) -> Tensor:
        """The mean error over the rows of the batch of a number."""
        generator = torch.Generator().manual_seed((self.settings.seed * STRIDE + number) % SEEDS)
        example = self.examples.draw(generator)
        latents = _as_the_model_has_them(self.base, example.latents)
        noised = add_noise(self.base.model, latents, generator)
        wanted = self._taught(example, noised) if example.teacher else noised.clean
        total = [
            self._error(example, noised, wanted, part) for part in captioned(self.base.model, example.captions, latents)
        ]
        return torch.cat(total).mean()

    def _error(self, example: Example, noised: NoisyLatents, wanted: Tensor, part: CaptionedRows) -> Tensor:
        rows, model = list(part.rows), self.base.model
        features, negative = (one[rows].to(self.base.device) for one in (example.features, example.negative))
        application = self.pupil.application(features, negative)
        found = self.base.denoised(application, noised.noisy[rows], noised.sigma[rows], part.arguments)
        return losses(model, found, wanted[rows], noised.sigma[rows], self.settings.weighting)

    @torch.no_grad()
    def _taught(self, example: Example, noised: NoisyLatents) -> Tensor:
        """What the model itself takes for the images under the teacher's captions."""
        wanted = torch.empty_like(noised.clean)
        for rows, arguments in captioned(self.base.model, example.teacher or (), noised.clean):
            places = list(rows)
            wanted[places] = self.base.denoised(None, noised.noisy[places], noised.sigma[places], arguments)
        return wanted


def _as_the_model_has_them(base: FrozenBase, latents: Tensor) -> Tensor:
    """Latents in the model's own scale, with a place for time where it has one."""
    latents = latents.to(base.device, torch.float32)
    if latents.ndim == 4 and base.model.latent_format.latent_dimensions == 3:
        latents = latents.unsqueeze(2)
    return base.model.process_latent_in(latents)


def _identity(pupil: LearningAdapter, examples: Examples, settings: TrainingSettings, base: str) -> str:
    """What a checkpoint belongs to: everything but how long the training is to be and how often it is kept."""
    course = replace(settings, schedule=replace(settings.schedule, steps=0, save_every=0))
    weights = [part for pair in sorted(pupil.parameters().items()) for part in pair]
    return digest([json.dumps(repr(course)), base, examples.identity(), pupil.spec, *weights])


def _check_gradients(training: Training) -> None:
    """Raises `TrainingError` where no gradient reaches a part of the adapter: some layers of the model let none through."""
    cut_off = [name for name, parameter in training.parameters.items() if parameter.grad is None]
    if cut_off:
        raise TrainingError(
            f"no gradient reaches {len(cut_off)} of the adapter's {len(training.parameters)} tensors, such as "
            f"{listed(cut_off, 1)}: the model's layers, which may be quantised, carry none; expected a model in bf16, fp16 or "
            "fp8: load one of those for Train IP-Adapter"
        )
