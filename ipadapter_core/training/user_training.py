"""A user's training from what comes through sockets or a command line: images, captions, settings, and where it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from comfy.model_patcher import ModelPatcher

from ..adapter.managed import ManagedAdapter
from ..encoders.image_encoder import ImageEncoder
from ..errors import TrainingError
from .conditioning import Entry
from .dataset import ImagesWithCaptions, check_counts, encoded_views, images_with_captions
from .examples import DropoutRates
from .live_adapter import check_trainable
from .preview import Previews, strip
from .shown_progress import ShownProgress
from .train import FileFor, Moment, TrainingSettings, train_adapter


@dataclass(frozen=True)
class UserData:
    """Latents (B, C, H, W) in any number of batches, captions, and either references (B, H, W, C) or a VAE to make them with.

    `empty` is the caption of no text.
    """

    latents: Sequence[Tensor]
    captions: Sequence[Entry]
    references: Sequence[Tensor] = ()
    vae: Any = None
    empty: Entry | None = None

    def images(self) -> list[Tensor]:
        """The reference (H, W, C) of each latent. Raises `TrainingError` where there is nothing to make them of."""
        if self.references:
            return [image for batch in self.references for image in batch]
        if self.vae is None:
            raise TrainingError(
                "found neither references nor a VAE, expected one of them, so that the image encoder has images to look at: "
                "connect the images that the latents were made of to references of Train IP-Adapter, or a VAE to vae"
            )
        return [image for latent in self.latents for one in torch.split(latent, 1) for image in self._decoded(one)]

    def _decoded(self, latent: Tensor) -> Tensor:
        """The first image of a latent, (1, H, W, C)."""
        return self.vae.decode(latent).flatten(0, -4)[:1]


@dataclass(frozen=True)
class UserChoices:
    """How it is trained, beside what the engine itself has to know."""

    settings: TrainingSettings
    batch: int = 1
    drops: DropoutRates = DropoutRates()
    views: int = 4
    preview_every: int = 0
    preview_cfg: float = 4.0


class Result(NamedTuple):
    """An adapter, ComfyUI's map of losses, and a strip of previews (1, H, W, C)."""

    adapter: ManagedAdapter
    losses: dict[str, list[float]]
    previews: Tensor


def train_for_user(
    model: ModelPatcher,
    adapter: ManagedAdapter,
    encoder: ImageEncoder | None,
    data: UserData,
    choices: UserChoices,
    file: FileFor | None = None,
) -> Result:
    """Trains a copy of an adapter on a user's images; see `train_adapter`. Its record is for the file that it becomes.

    Raises `TrainingError` or `EncoderMismatchError` where something is missing or does not fit.
    """
    check_trainable(adapter.spec)
    images = data.images()
    count = sum(len(latent) for latent in data.latents)
    check_counts(count, len(data.captions), len(images))
    views = encoded_views(adapter.spec, encoder, images, choices.views, choices.settings.seed)
    examples = images_with_captions(data.latents, data.captions, views, data.empty, choices.batch, choices.drops)
    watchers = _Watchers(
        ShownProgress(choices.settings.schedule.steps),
        Previews(examples, choices.preview_every if data.vae is not None else 0, choices.preview_cfg),
    )
    made = train_adapter(model, adapter, examples, choices.settings, watchers, file)
    learned = replace(made.adapter, record=_record(adapter, examples, made.progress.step, made.base))
    return Result(learned, {"loss": made.progress.losses}, strip(data.vae, watchers.previews.latents, images[0]))


class _Watchers(NamedTuple):
    """All who are told of a step."""

    progress: ShownProgress
    previews: Previews

    def __call__(self, moment: Moment) -> None:
        self.progress(moment)
        self.previews(moment)


def _record(begun: ManagedAdapter, examples: ImagesWithCaptions, steps: int, base: str) -> dict[str, str]:
    """What the file of the result says of its training."""
    return {
        "base_model_sha256": base,
        "trained_from": begun.spec.file,
        "training_steps": str(steps),
        "training_images": str(len(examples.latents)),
    }
