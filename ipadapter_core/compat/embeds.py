"""Embeds, as ComfyUI_IPAdapter_plus passes them from node to node, and their arithmetic: corrected, and as it was there."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoint.spec import AdapterSpec
from ..errors import ImagePromptError
from ..prompt.combine import COMBINED, Combination
from ..prompt.features import Features, each
from ..prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from .weight_types import Results


class Embeds(NamedTuple):
    """What the EMBEDS socket carries: features (N, E) or (N, L, E) of N pictures, corrected and as they were."""

    corrected: Tensor
    as_plus: Tensor

    def of(self, results: Results) -> Tensor:
        """The features for the results that are wanted."""
        return self.as_plus if results is Results.AS_PLUS else self.corrected


def embeds_of(value: Embeds | Tensor) -> Embeds:
    """Embeds from a socket, also where another pack's node gave a plain tensor."""
    return value if isinstance(value, Embeds) else Embeds(value, value)


def combine_embeds(given: Sequence[Embeds], method: Combination) -> Embeds:
    """One of several; all pictures of all of them count alike. Raises `ImagePromptError` where they do not fit together."""
    shapes = [tuple(one.corrected.shape[1:]) for one in given]
    if len(set(shapes)) > 1:
        raise ImagePromptError(
            f"embeds of shapes {' and '.join(map(str, map(list, shapes)))} cannot be combined: encode all of them with the "
            "same IP-Adapter and the same image encoder"
        )
    parts = [torch.cat([one.of(results) for one in given]) for results in Results]
    if method is Combination.CONCAT:
        return Embeds(*parts)
    corrected, as_plus = (
        combined_features(features, method, results) for features, results in zip(parts, Results, strict=True)
    )
    return Embeds(corrected, as_plus)


def combined_features(features: Tensor, method: Combination, results: Results) -> Tensor:
    """(N, ...) -> (1, ...), every picture with weight 1; a lone picture is subtracted from by nothing."""
    formula = norm_average_over_pictures if _broken(method, results) else partial(_by_formula, COMBINED[method])
    return formula(features.unsqueeze(1))


def norm_average_over_pictures(features: Tensor) -> Tensor:
    """The mean of each number over its norm across the pictures, (N, 1, ...) -> (1, ...): what 'norm average' was.

    It is no average of directions: of three equal pictures it makes their signs over the root of three.
    """
    return (features / features.norm(dim=0, keepdim=True)).mean(dim=0)


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
