"""Is the image prompt helping? Every score of finished images, in one go."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from comfy.sd import CLIP

from ..encoders.image_encoder import ImageEncoder
from ..errors import ComparisonError
from .clip_similarity import COLOURS, agreement, picture_directions, text_direction
from .scores import Row, palette_distance, palettes, sharpness
from .sweep import Sweep

AGREEING = 4  # plain colours; by chance it is one


@dataclass(frozen=True)
class ScoreTargets:
    """What images are held against: references (each (B, H, W, C)), a text, or somebody else's numbers about the text."""

    references: tuple[Tensor, ...] = ()
    encoder: ImageEncoder | None = None
    clip: CLIP | None = None
    prompt: str = ""
    prompt_scores: tuple[float, ...] = ()


def score(batches: Sequence[Tensor], score_targets: ScoreTargets, sweep: Sweep | None = None) -> list[Row]:
    """A row for each batch of images (B, H, W, C), in the order of the sweep where there is one.

    Raises `ComparisonError` where counts do not fit, `EncoderMismatchError` where the text cannot be compared.
    """
    _check(batches, score_targets, sweep)
    variants = sweep.variants if sweep else (None,) * len(batches)
    near_reference, near_text = _similarities(batches, score_targets)
    colours = [one for batch in score_targets.references for one in palettes(batch)]
    rows: list[Row] = []
    for number, (batch, variant) in enumerate(zip(batches, variants, strict=True)):
        nearest = [min(palette_distance(own, other) for other in colours) for own in palettes(batch) if colours]
        rows.append(
            Row(
                label=variant.label if variant else f"image {number + 1}",
                pictures=len(batch),
                references=near_reference[number],
                prompt=near_text[number],
                palette=sum(nearest) / len(nearest) if nearest else None,
                sharpness=float(sharpness(batch).mean()),
                weight=variant.weight if variant else None,
                preset=variant.preset.value if variant else None,
            )
        )
    return rows


def encoder_mismatch_warning(score_targets: ScoreTargets) -> str:
    """What speaks against the prompt's scores, in a sentence; nothing where the two encoders understand each other."""
    if score_targets.clip is None or score_targets.encoder is None:
        return ""
    found = agreement(score_targets.encoder, score_targets.clip)
    if found >= AGREEING:
        return ""
    return (
        f"the prompt's scores mean little: clip and clip_vision agree about {found} of {len(COLOURS)} plain colours, so they "
        "were not trained together"
    )


Similarities = tuple[list[tuple[float, ...]], list[float | None]]


def _similarities(batches: Sequence[Tensor], score_targets: ScoreTargets) -> Similarities:
    """For each batch, the mean similarity to each reference and to the text."""
    near_reference: list[tuple[float, ...]] = [()] * len(batches)
    near_text: list[float | None] = list(score_targets.prompt_scores) or [None] * len(batches)
    encoder, clip = score_targets.encoder, score_targets.clip
    if encoder is None:
        return near_reference, near_text
    made = torch.split(picture_directions(encoder, batches), [len(batch) for batch in batches])
    if score_targets.references:
        wanted = picture_directions(encoder, score_targets.references)
        near_reference = [tuple(map(float, (own @ wanted.T).mean(dim=0))) for own in made]
    if clip is not None:
        text = text_direction(clip, score_targets.prompt, made[0].shape[-1])
        near_text = [float((own @ text.T).mean()) for own in made]
    return near_reference, near_text


def _check(batches: Sequence[Tensor], score_targets: ScoreTargets, sweep: Sweep | None) -> None:
    if sweep is not None and len(sweep.variants) != len(batches):
        raise ComparisonError(
            f"found {len(batches)} images or batches for {len(sweep.variants)} variants: connect the sweep of the very "
            "Sweep IP-Adapter whose models were sampled, and do not batch the images together on the way"
        )
    if score_targets.prompt_scores and len(score_targets.prompt_scores) != len(batches):
        raise ComparisonError(
            f"found {len(score_targets.prompt_scores)} prompt_scores for {len(batches)} images or batches, expected one for "
            "each: connect the scorer to the same images as Score Images"
        )
    if score_targets.clip is not None and score_targets.encoder is None:
        raise ComparisonError(
            "the prompt is compared with images in an image encoder's space, and no encoder is connected: connect "
            "clip_vision of Score Images"
        )
    if score_targets.clip is not None and score_targets.prompt_scores:
        raise ComparisonError("found both clip and prompt_scores, expected one of them: disconnect one at Score Images")
