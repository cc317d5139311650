"""What an adapter makes while it learns: one small image every so many steps, of the same noise, text and reference."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import comfy.sample

from ..patchers.apply import apply_image_prompt
from ..patchers.hooks.wrappers import NAME
from ..prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from ..sampling.strength import Strength
from .conditioning import Entry
from .dataset import EncodedView, ImagesWithCaptions
from .train import Moment

STEPS = 12  # of a preview's sampling


@dataclass
class Previews:
    """Samples a latent every so many steps; they are decoded when the training is over, so that nothing is unloaded for it."""

    examples: ImagesWithCaptions
    every: int
    cfg: float = 4.0
    latents: list[Tensor] = field(default_factory=list[Tensor])

    def __call__(self, moment: Moment) -> None:
        """Takes a look where it is time to."""
        if self.every and moment.step % self.every == 0:
            self.latents.append(self._sampled(moment))

    @torch.no_grad()
    def _sampled(self, moment: Moment) -> Tensor:
        adapter, view = moment.average(), self.examples.views[0][0]
        model = moment.base.patcher.clone()
        model.model_options["transformer_options"]["patches"].pop(NAME)
        patched = apply_image_prompt(model, adapter, _prompt(adapter.spec.projector.feature, view), Strength(1.0))
        latent = torch.zeros_like(self.examples.latents[0])
        if latent.ndim == 4 and moment.base.model.latent_format.latent_dimensions == 3:
            latent = latent.unsqueeze(2)
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
        shown, empty = (_conditioning(entry) for entry in (self.examples.captions[0], self.examples.empty))
        return comfy.sample.sample(
            patched, noise, STEPS, self.cfg, "euler", "simple", shown, empty, latent, seed=0, disable_pbar=True
        )


def strip(vae: Any, latents: list[Tensor], reference: Tensor) -> Tensor:
    """A reference (H, W, C) and what came of it beside one another, (1, H, W', C)."""
    images = [vae.decode(latent).flatten(0, -4) for latent in latents]
    height, width = images[0].shape[1:3] if images else reference.shape[:2]
    planes = reference[None, ..., :3].movedim(-1, 1).float()
    first = torch.nn.functional.interpolate(planes, size=(height, width), mode="bilinear", antialias=True).movedim(
        1, -1
    )
    return torch.cat([first, *(image[:1, ..., :3].to(first) for image in images)], dim=2).clamp(0, 1)


def _prompt(feature: Any, view: EncodedView) -> ImagePrompt:
    return ImagePrompt((Reference(EncodedImage(view.features, view.negative)),), feature, "the training's own")


def _conditioning(entry: Entry) -> list[Any]:
    return [list(entry)]
