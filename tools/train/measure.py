"""What an adapter makes of references that it was not trained on, in numbers, at several weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

import comfy.sample

from ...demo.measure import prompt_kept
from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.diagnostics.score import ScoreTargets, encoder_mismatch_warning, score
from ...ipadapter_core.diagnostics.scores import Row
from ...ipadapter_core.encoders.clip_vision import encode_references
from ...ipadapter_core.encoders.options import EncodeOptions
from ...ipadapter_core.errors import IPAdapterError
from ...ipadapter_core.patchers.apply import apply_image_prompt
from ...ipadapter_core.sampling.strength import Strength
from .dataset import Pair
from .models import Models

PromptScore = Callable[[Tensor, str], float]  # images (B, H, W, C) and a text


@dataclass(frozen=True)
class Sampling:
    """How the images that are measured are made."""

    steps: int
    cfg: float
    weights: Sequence[float]
    demo: bool = False


@dataclass(frozen=True, eq=False)
class Measured:
    """The scores of one adapter at one weight, over all references, and the images (B, H, W, 3) of the first ones."""

    adapter: str
    row: Row
    images: Sequence[Tensor]


def measured(
    models: Models, adapters: dict[str, ManagedAdapter], pairs: Sequence[Pair], sampling: Sampling
) -> list[Measured]:
    """Each adapter at each weight, and before them the model without any."""
    plain = [_sampled(models, models.model, pair, sampling) for pair in pairs]
    found = [_scored(models, "no adapter", 0.0, plain, pairs, sampling)]
    for name, adapter in adapters.items():
        prompts = [
            encode_references(adapter.spec, models.encoder, pair.image[None], EncodeOptions())[0] for pair in pairs
        ]
        for weight in sampling.weights:
            images = [
                _sampled(models, apply_image_prompt(models.model, adapter, prompt, Strength(weight)), pair, sampling)
                for pair, prompt in zip(pairs, prompts, strict=True)
            ]
            found.append(_scored(models, name, weight, images, pairs, sampling))
    return found


def _sampled(models: Models, model: Any, pair: Pair, sampling: Sampling) -> Tensor:
    """An image (1, H, W, 3) of a pair's caption, from the same noise every time."""
    with torch.no_grad():
        latent = torch.zeros_like(models.vae.encode(pair.image[None]))
        latent = comfy.sample.fix_empty_latent_channels(model, latent)
        noise = comfy.sample.prepare_noise(latent, 1)
        texts = [[list(models.caption(text))] for text in (pair.caption, "")]
        out = comfy.sample.sample(
            model, noise, sampling.steps, sampling.cfg, "euler", "simple", *texts, latent, seed=1, disable_pbar=True
        )
        return models.vae.decode(out).flatten(0, -4)[:1, ..., :3].float().cpu()


def _scored(
    models: Models, adapter: str, weight: float, images: Sequence[Tensor], pairs: Sequence[Pair], sampling: Sampling
) -> Measured:
    rows = [_row(models, image, pair, sampling) for image, pair in zip(images, pairs, strict=True)]
    prompts = [row.prompt for row in rows if row.prompt is not None]
    mean = replace(
        rows[0],
        label=f"{adapter}, weight {weight:g}" if weight else adapter,
        pictures=len(rows),
        references=(fmean(row.references[0] for row in rows),),
        prompt=fmean(prompts) if len(prompts) == len(rows) else None,
        palette=fmean(row.palette or 0.0 for row in rows),
        sharpness=fmean(row.sharpness for row in rows),
        weight=weight,
        preset=adapter,
    )
    return Measured(adapter, mean, images)


def _row(models: Models, image: Tensor, pair: Pair, sampling: Sampling) -> Row:
    targets = ScoreTargets((pair.image[None],), models.encoder)
    if sampling.demo:
        said = float(prompt_kept(image, pair.caption).mean())
        return score([image], replace(targets, prompt_scores=(said,)))[0]
    return score([image], replace(targets, clip=models.clip, prompt=pair.caption) if _comparable(models) else targets)[
        0
    ]


def _comparable(models: Models) -> bool:
    """Whether text and images can be held against each other: only where both encoders were trained together."""
    try:
        return not encoder_mismatch_warning(ScoreTargets((), models.encoder, models.clip, "a"))
    except IPAdapterError:
        return False
