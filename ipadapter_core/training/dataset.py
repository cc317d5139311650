"""Images and captions of a user as examples: latents from a VAE, conditioning from a text encoder, references as features."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoint.enums import Negative
from ..checkpoint.spec import AdapterSpec
from ..encoders.clip_vision import encode_references
from ..encoders.features import encode_node
from ..encoders.image_encoder import ImageEncoder
from ..encoders.options import EncodeOptions
from ..errors import EncoderMismatchError, TrainingError
from ..limits import TRAINING_IMAGES
from ..prompt.image_prompt import EncodedImage
from .augmentation import view_of
from .conditioning import Entry, ordinary, silent
from .examples import DropoutRates, Example, kept_features
from .fingerprint import digest
from .live_adapter import features_of


class EncodedView(NamedTuple):
    """What the encoder made of one view of a reference, and what stands for none: (1, E) or (1, L, E) each."""

    features: Tensor
    negative: Tensor


@dataclass(frozen=True, eq=False)
class ImagesWithCaptions:
    """A user's images: a latent (1, C, H, W), a caption and some views of the reference for each.

    `empty` is what a dropped caption becomes. A batch has images of one size alone.
    """

    latents: tuple[Tensor, ...]
    captions: tuple[Entry, ...]
    views: tuple[tuple[EncodedView, ...], ...]
    empty: Entry
    batch: int = 1
    drops: DropoutRates = field(default_factory=DropoutRates)

    def draw(self, generator: torch.Generator) -> Example:
        """A batch: a size, drawn by how many images have it, and images of that size, none twice."""
        groups = self._by_size()
        sizes = torch.tensor([float(len(group)) for group in groups])
        group = groups[int(torch.multinomial(sizes, 1, generator=generator))]
        order = [int(place) for place in torch.randperm(len(group), generator=generator)]
        chosen = [group[place] for place in order[: self.batch]]
        image_kept, text_kept = self.drops.draw(len(chosen), generator)
        views = [self.views[one][self._number(len(self.views[one]), generator)] for one in chosen]
        features, negative = (torch.cat(side) for side in zip(*views, strict=True))
        return Example(
            torch.cat([self.latents[one] for one in chosen]),
            [self.captions[one] if bool(kept) else self.empty for one, kept in zip(chosen, text_kept, strict=True)],
            kept_features(features, negative, image_kept),
            negative,
        )

    def identity(self) -> str:
        """Of all that is drawn from."""
        texts = [part for text, more in (*self.captions, self.empty) for part in (text, more.get("pooled_output"))]
        views = [part for views in self.views for view in views for part in view]
        return digest([*self.latents, *texts, *views, self.batch, self.drops])

    def _by_size(self) -> list[list[int]]:
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, latent in enumerate(self.latents):
            groups.setdefault(tuple(latent.shape), []).append(place)
        return list(groups.values())

    @staticmethod
    def _number(count: int, generator: torch.Generator) -> int:
        return int(torch.randint(count, (1,), generator=generator))


def images_with_captions(
    latents: Sequence[Tensor],
    captions: Sequence[Entry],
    views: tuple[tuple[EncodedView, ...], ...],
    empty: Entry | None = None,
    batch: int = 1,
    drops: DropoutRates | None = None,
) -> ImagesWithCaptions:
    """Examples of latents (B, C, H, W) in any number of batches, and as many captions or one for all.

    Raises `TrainingError` where there are too few images, or captions or references are missing.
    """
    with torch.inference_mode(False), torch.no_grad():
        single = [one.detach().clone().float() for part in latents for one in torch.split(part, 1)]
        check_counts(len(single), len(captions), len(views))
        texts = [ordinary(entry) for entry in captions]
        texts = texts * len(single) if len(texts) == 1 else texts
        nothing = silent(texts[0]) if empty is None else ordinary(empty)
    return ImagesWithCaptions(tuple(single), tuple(texts), views, nothing, batch, drops or DropoutRates())


def check_counts(images: int, captions: int, references: int) -> None:
    """Raises `TrainingError` where there are too few images, or other numbers of captions or references than of images."""
    if images < TRAINING_IMAGES:
        raise TrainingError(
            f"found {images} images to train on, expected {TRAINING_IMAGES} or more, and for a style some two dozen: an "
            "adapter would only learn these by heart; connect more latents to Train IP-Adapter"
        )
    if captions not in (1, images):
        raise TrainingError(
            f"found {captions} captions for {images} images, expected one for each, or one for all: connect the conditioning "
            "that belongs to the latents to positive of Train IP-Adapter, with a text file beside each image"
        )
    if references != images:
        raise TrainingError(
            f"found {references} references for {images} images, expected one for each, in the same order: connect the images "
            "that the latents were made of to references of Train IP-Adapter, or a VAE in their place"
        )


def encoded_views(
    spec: AdapterSpec, encoder: ImageEncoder | None, images: Sequence[Tensor], count: int, seed: int = 0
) -> tuple[tuple[EncodedView, ...], ...]:
    """`count` views of each image (H, W, C), augmented and encoded as *Encode Reference Image* encodes.

    An adapter whose negative is the reference itself is never shown none. Raises `EncoderMismatchError` where the encoder
    does not make what the adapter reads.
    """
    found: list[tuple[EncodedView, ...]] = []
    for place, image in enumerate(images):
        views: list[EncodedView] = []
        for number in range(count):
            generator = torch.Generator().manual_seed(seed + place * count + number)
            encoded = _encoded(spec, encoder, view_of(image.float(), generator))
            with torch.inference_mode(False):
                features, negative = features_of(encoded)
            views.append(EncodedView(features, features if spec.projector.negative is Negative.REFERENCE else negative))
        found.append(tuple(views))
    return tuple(found)


def _encoded(spec: AdapterSpec, encoder: ImageEncoder | None, image: Tensor) -> EncodedImage:
    """One image (H, W, C). Raises `EncoderMismatchError` where the encoder does not fit, which is this node's to be told."""
    try:
        prompt, _ = encode_references(spec, encoder, image[None], EncodeOptions())
    except EncoderMismatchError as error:
        raise EncoderMismatchError(str(error).replace(encode_node(spec), "Train IP-Adapter")) from error
    return prompt.references[0].image
