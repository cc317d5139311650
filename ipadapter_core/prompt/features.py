"""What an image prompt holds of an image: one tensor, or a few that belong together and only the projector takes apart."""

from collections.abc import Callable

import torch
from torch import Tensor

Features = Tensor | tuple[Tensor, ...]


def each(function: Callable[..., Tensor], *features: Features) -> Features:
    """Applies a function of tensors part by part; all `features` have the same parts."""
    if isinstance(features[0], Tensor):
        return function(*features)
    return tuple(function(*parts) for parts in zip(*features, strict=True))


def leading(features: Features) -> Tensor:
    """The part that the others accompany: what a width or an image is told from."""
    return features if isinstance(features, Tensor) else features[0]


def parts_of(features: Features) -> tuple[Tensor, ...]:
    """The tensors of features, of plain ones the one that they are."""
    return (features,) if isinstance(features, Tensor) else features


def shapes_of(features: Features) -> tuple[torch.Size, ...]:
    """The shape of each part."""
    return tuple(part.shape for part in parts_of(features))


def alone(features: Features) -> Tensor:
    """Features that are one tensor, as those of plain images are."""
    assert isinstance(features, Tensor)
    return features
