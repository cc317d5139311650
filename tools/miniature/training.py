"""Trainings in miniature: for each family a model, an adapter and a few seeded examples that can be learned by heart."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from pack.ipadapter_core.adapter.managed import ManagedAdapter
from pack.ipadapter_core.training.base_model import BaseSettings
from pack.ipadapter_core.training.conditioning import Entry
from pack.ipadapter_core.training.examples import Example
from pack.ipadapter_core.training.precision import Precision
from pack.ipadapter_core.training.schedule import RateCourse, Schedule
from pack.ipadapter_core.training.train import TrainingSettings
from pack.tools.miniature.models import adapter_weights, tiny_model, widths_of
from pack.tools.miniature.transformers import (
    adapter,
    instantx_flux,
    instantx_sd3,
    lucifer,
    noise,
    perceiver,
    tiny_transformer,
    weights_of,
    xlabs,
)
from torch import Tensor

from comfy.model_patcher import ModelPatcher

TEXT, POOLED = 64, 32  # widths of the transformers' texts
UNET_TEXT = 96


class Row(NamedTuple):
    """What a family is trained with: its model, an adapter's weights, its features, its latents, its text's widths."""

    model: Callable[[], ModelPatcher]
    weights: Callable[[ModelPatcher], dict[str, Tensor]]
    features: tuple[int, ...]
    latent: tuple[int, ...]
    text: int = TEXT
    pooled: int = 0


def _unet(kind: str) -> Callable[[ModelPatcher], dict[str, Tensor]]:
    return lambda model: adapter_weights(kind, widths_of(model), UNET_TEXT)


def _shapes(shapes: dict[str, tuple[int, ...]]) -> Callable[[ModelPatcher], dict[str, Tensor]]:
    return lambda _model: weights_of(shapes)


UNET_LATENT, FLAT = (4, 16, 16), (4, 8, 6)
TRAININGS: dict[str, Row] = {
    "SD1.5 base": Row(tiny_model, _unet("base"), (64,), UNET_LATENT, UNET_TEXT),
    "SD1.5 plus": Row(tiny_model, _unet("plus"), (9, 64), UNET_LATENT, UNET_TEXT),
    "SDXL base": Row(partial(tiny_model, "SDXL"), _unet("base"), (64,), UNET_LATENT, UNET_TEXT, 1280),
    "SDXL plus": Row(partial(tiny_model, "SDXL"), _unet("plus"), (9, 64), UNET_LATENT, UNET_TEXT, 1280),
    "FLUX XLabs": Row(partial(tiny_transformer, "FLUX"), _shapes(xlabs(2, 256, 64)), (48,), FLAT, TEXT, POOLED),
    "FLUX InstantX": Row(
        partial(tiny_transformer, "FLUX"), _shapes(instantx_flux(5, 256, 64)), (48,), FLAT, TEXT, POOLED
    ),
    "Chroma InstantX": Row(partial(tiny_transformer, "Chroma"), _shapes(instantx_flux(5, 256, 64)), (48,), FLAT),
    "SD3.5 InstantX": Row(partial(tiny_transformer, "SD3"), _shapes(instantx_sd3(3, 192)), (9, 48), FLAT, TEXT, POOLED),
    "Anima LuciferTC": Row(partial(tiny_transformer, "Anima"), _shapes(lucifer(3, 128)), (9, 48), (16, 8, 6)),
    "Anima PE-Core": Row(partial(tiny_transformer, "Anima"), _shapes(perceiver(3, 128)), (9, 48), (16, 8, 6)),
}


@dataclass(frozen=True)
class FewExamples:
    """The same images, captions and features in every batch."""

    row: Row
    count: int = 2
    teacher: bool = False

    def draw(self, generator: torch.Generator) -> Example:
        """All of them."""
        features = noise(self.count, *self.row.features, seed=3)
        latents, entries = noise(self.count, *self.row.latent, seed=4), self.captions()
        return Example(latents, entries, features, torch.zeros_like(features), entries if self.teacher else None)

    def captions(self) -> list[Entry]:
        """A seeded text for each image."""
        pooled = noise(self.count, self.row.pooled, seed=7)
        more: list[dict[str, Any]] = [{"pooled_output": one[None]} if self.row.pooled else {} for one in pooled]
        return list(zip(noise(self.count, 7, self.row.text, seed=6).split(1), more, strict=True))

    def identity(self) -> str:
        """What they are."""
        return repr((self.row.features, self.count))


def training_of(case: str) -> tuple[ModelPatcher, ManagedAdapter, FewExamples]:
    """A model, an adapter for it and examples."""
    row = TRAININGS[case]
    model = row.model()
    return model, adapter(row.weights(model)), FewExamples(row)


def short(steps: int = 8, precision: Precision = Precision.FP32, **changes: Any) -> TrainingSettings:
    """Settings of a few steps, each of which counts."""
    course: dict[str, Any] = {"course": RateCourse.CONSTANT, "warm_up": 1, "average": 0.5} | changes
    rate = course.pop("learning_rate", 2e-3)
    base = BaseSettings(precision, checkpointing=course.pop("checkpointing", False))
    return TrainingSettings(Schedule(steps, rate, **course), base)
