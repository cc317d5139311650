"""Training of the demo's adapters on the frozen base model, by the engine that trains anybody's."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher

from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.checkpoint.spec import AdapterSpec
from ...ipadapter_core.encoders.clip_vision import encode_references
from ...ipadapter_core.encoders.options import EncodeOptions
from ...ipadapter_core.training.base_model import BaseSettings
from ...ipadapter_core.training.conditioning import Entry
from ...ipadapter_core.training.examples import DropoutRates, Example, kept_features
from ...ipadapter_core.training.live_adapter import features_of
from ...ipadapter_core.training.loop import Progress
from ...ipadapter_core.training.new_adapter import Size, new_adapter
from ...ipadapter_core.training.objective import Weighting
from ...ipadapter_core.training.precision import Precision
from ...ipadapter_core.training.schedule import Schedule
from ...ipadapter_core.training.train import Trained, TrainingSettings, train_adapter
from ..references import wild
from ..words import SLOTS, Description, WordEncoder
from ..world import Scene, random_scene, render, same_style

BATCH, SIZE = 8, 64
SHAPE_SAID, STYLE_SAID = 0.95, 0.1
TAUGHT = {Size.BASE: 0.8, Size.PLUS: 0.45}  # of all steps, those with the base model as the teacher
DROPS = DropoutRates(0.08, 0.08, 0.08)


@dataclass(frozen=True)
class SceneExamples:
    """Scenes of the world and other images in the same style; colour and texture words are left out nine times in ten.

    With `taught`, where the image is kept, the base itself, told the whole style in words, is the teacher: that is quick.
    What has no words, such as the direction of stripes, only the images themselves can teach.
    """

    spec: AdapterSpec
    words: WordEncoder
    encoder: ClipVisionModel
    taught: bool = True

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> Example:
        """A batch."""
        reference = random_scene(BATCH, generator)
        scene = same_style(reference, generator)
        image_kept, text_kept = DROPS.draw(BATCH, generator)
        chance = torch.tensor([SHAPE_SAID] + 4 * [STYLE_SAID])
        short = (torch.rand(BATCH, SLOTS, generator=generator) < chance) & text_kept[:, None]
        style = torch.tensor([False, True, True, True, True])
        features, negative = self._features(wild(reference, generator))
        return Example(
            render(scene, SIZE) * 2 - 1,
            self._entries(scene, short),
            kept_features(features, negative, image_kept),
            negative,
            self._entries(scene, short | (style & image_kept[:, None])) if self.taught else None,
        )

    def identity(self) -> str:
        """The world does not change."""
        return f"scenes, {self.taught}"

    def _entries(self, scene: Scene, said: Tensor) -> list[Entry]:
        return [(text, {}) for text in torch.split(self.words(Description.of(scene, said)), 1)]

    def _features(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Of images (B, 3, H, W), as *Encode Reference Image* makes them."""
        prompt, _ = encode_references(self.spec, self.encoder, pictures.movedim(1, -1), EncodeOptions())
        pairs = [features_of(one.image) for one in prompt.references]
        features, negative = (torch.cat(side) for side in zip(*pairs, strict=True))
        return features, negative


@dataclass(frozen=True)
class Frozen:
    """The finished models that an adapter is trained between."""

    model: ModelPatcher
    words: WordEncoder
    encoder: ClipVisionModel


def train_demo_adapter(frozen: Frozen, size: Size, schedule: Schedule, folder: Path, seed: int) -> Trained:
    """A new adapter of a size, trained on scenes."""
    begun = new_adapter(frozen.model, frozen.encoder, size, seed=seed)
    taught = SceneExamples(begun.spec, frozen.words, frozen.encoder)
    first = further(frozen, begun, taught, replace(schedule, steps=round(TAUGHT[size] * schedule.steps)), folder, seed)
    rest = replace(schedule, steps=schedule.steps - first.progress.step, learning_rate=schedule.learning_rate / 2)
    last = further(frozen, first.adapter, replace(taught, taught=False), rest, folder, seed + 1)
    (one, other) = first.progress, last.progress
    return last._replace(progress=Progress(one.losses + other.losses, one.seconds + other.seconds))


def further(
    frozen: Frozen, adapter: ManagedAdapter, examples: SceneExamples, schedule: Schedule, folder: Path, seed: int
) -> Trained:
    """An adapter trained further on examples."""
    settings = TrainingSettings(schedule, BaseSettings(Precision.BF16, checkpointing=False), Weighting.PREDICTION, seed)
    name = f"adapter_{adapter.spec.projector.tokens}"
    return train_adapter(
        frozen.model, adapter, examples, settings, file=lambda identity: folder / f"{name}_{identity[:12]}.safetensors"
    )
