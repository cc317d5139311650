"""Embeds, as ComfyUI_IPAdapter_plus passes them from node to node, and their arithmetic: corrected, and as it was there."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from ..checkpoint.spec import AdapterSpec, Feature
from ..errors import EncoderMismatchError, ImagePromptError
from ..prompt.combine import COMBINED, Combination
from ..prompt.features import Features, each
from ..prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from .weight_types import Results

OF_EACH_PATCH = (Feature.HIDDEN, Feature.LAST, Feature.PERCEPTION)  # three dimensions; other plain features have two


class Embeds(Tensor):
    """What the EMBEDS socket carries: features (N, E) or (N, L, E) of N images, of which kind, and what they were there.

    To any other program it is the tensor of the corrected features; what that computes from it is a plain tensor again.
    `kind` is None for tensors that do not say, whose dimensions have to tell.
    """

    as_plus: Tensor
    kind: Feature | None
    __torch_function__ = cast(Any, torch.nn.Parameter).__torch_function__  # results are plain tensors

    def __new__(cls, corrected: Tensor, as_plus: Tensor, kind: Feature | None = None) -> "Embeds":
        made = corrected.as_subclass(cls)
        made.as_plus, made.kind = as_plus, kind
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> "Embeds":
        return Embeds(self.corrected.clone(), self.as_plus.clone(), self.kind)

    @property
    def corrected(self) -> Tensor:
        """The features of today, as a plain tensor."""
        return self.as_subclass(Tensor)

    def of(self, results: Results) -> Tensor:
        """The features for the results that are wanted."""
        return self.as_plus if results is Results.AS_PLUS else self.corrected


def embeds_of(value: Any) -> Embeds:
    """Embeds from a socket, also where another pack's node gave a plain tensor, or one in a tuple.

    Raises `ImagePromptError` for anything else.
    """
    if isinstance(value, Sequence):
        several = cast(Sequence[Any], value)
        value = several[0] if len(several) == 1 else several
    if not isinstance(value, Tensor):
        raise ImagePromptError(
            f"embeds: found {type(value).__name__}, expected what IPAdapter Encoder, Combine Embeds or Load Embeds gives: "
            "connect one of them"
        )
    return value if isinstance(value, Embeds) else Embeds(value, value)


def check_kind(embeds: Embeds, spec: AdapterSpec, name: str) -> None:
    """Raises `EncoderMismatchError` for embeds that are not what the adapter reads; `name` is the input that they come by."""
    wanted = spec.projector.feature
    dimensions, width = (3 if wanted in OF_EACH_PATCH else 2), spec.projector.feature_width
    fits = embeds.kind in (None, wanted) and embeds.ndim == dimensions and embeds.shape[-1] == width
    if fits:
        return
    found = f"{embeds.kind.value} of" if embeds.kind else "a tensor of"
    raise EncoderMismatchError(
        f"{name}: found {found} shape {list(embeds.shape)}, {spec.file} ({spec.format}) reads {wanted.value} of width {width}, "
        f"which {spec.encoder} makes: encode the image with IPAdapter Encoder and this adapter, or load the adapter that the "
        "embeds were made for"
    )


def combine_embeds(given: Sequence[Embeds], method: Combination) -> Embeds:
    """One of several; all images of all of them count alike. Raises `ImagePromptError` where they do not fit together."""
    shapes = [tuple(one.corrected.shape[1:]) for one in given]
    if len(set(shapes)) > 1:
        raise ImagePromptError(
            f"embeds of shapes {' and '.join(map(str, map(list, shapes)))} cannot be combined: encode all of them with the "
            "same IP-Adapter and the same image encoder"
        )
    parts = [torch.cat([one.of(results) for one in given]) for results in Results]
    if method is not Combination.CONCAT:
        parts = [combined_features(part, method, results) for part, results in zip(parts, Results, strict=True)]
    corrected, as_plus = parts
    return Embeds(corrected, as_plus, next((one.kind for one in given if one.kind), None))


def combined_features(features: Tensor, method: Combination, results: Results) -> Tensor:
    """(N, ...) -> (1, ...), every image with weight 1; a lone image is subtracted from by nothing."""
    formula = norm_average_over_pictures if _broken(method, results) else partial(_by_formula, COMBINED[method])
    return formula(features.unsqueeze(1))


def norm_average_over_pictures(features: Tensor) -> Tensor:
    """The mean of each number over its norm across the images, (N, 1, ...) -> (1, ...): what 'norm average' was.

    It is no average of directions: of three equal images it makes their signs over the root of three.
    """
    return (features / cast(Any, features).norm(dim=0, keepdim=True)).mean(dim=0)


def _broken(method: Combination, results: Results) -> bool:
    return method is Combination.NORM_AVERAGE and results is Results.AS_PLUS


def _by_formula(formula: Callable[[Tensor, Tensor], Tensor], features: Tensor) -> Tensor:
    return formula(features, torch.ones([len(features)] + [1] * (features.ndim - 1), dtype=features.dtype))


def combined_prompt(prompt: ImagePrompt, method: Combination, results: Results) -> ImagePrompt:
    """One reference of all, with the first one's negative; what says how parts are blended stays as it is."""
    first = prompt.references[0].image
    parts = [reference.image.features for reference in prompt.references]
    if method is Combination.CONCAT or len(parts) == 1:
        return prompt
    whole = each(lambda *tensors: combined_features(torch.cat(tensors), method, results), *parts)
    if not isinstance(whole, Tensor) and not isinstance(first.features, Tensor):
        whole = (*whole[:2], *first.features[2:])
    return prompt.with_references((Reference(EncodedImage(whole, first.negative)),))


def prompt_of_features(spec: AdapterSpec, features: Features, negative: Tensor) -> ImagePrompt:
    """References from features (N, ...) and their negatives, the last one for all that follow."""
    assert isinstance(features, Tensor)
    references = tuple(
        Reference(EncodedImage(features[i : i + 1], negative[min(i, len(negative) - 1)].unsqueeze(0)))
        for i in range(len(features))
    )
    return ImagePrompt(references, spec.projector.feature, spec.encoder)
