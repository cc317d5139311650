"""Whether what was loaded is right: an adapter projects features of its own sizes to finite keys and values."""

import math

import torch
from pack.ipadapter_core.adapter.managed import ManagedAdapter
from pack.ipadapter_core.checkpoint.enums import Feature, ProjectorKind
from pack.ipadapter_core.checkpoint.features import FEATURES, ROWS
from pack.ipadapter_core.checkpoint.spec import ProjectorSpec
from torch import Tensor

PATCHES = 5
WITH_TIME = (ProjectorKind.TIME_RESAMPLER,)


def check_adapter(adapter: ManagedAdapter) -> None:
    """Raises `AssertionError` where a projection is not finite."""
    spec = adapter.spec.projector
    features = _features(spec)
    with torch.no_grad():
        if spec.kind is ProjectorKind.TWO_SCALES:
            _check_two_scales(adapter, features)
            return
        if spec.kind in WITH_TIME:
            tokens, _ = adapter.network.image_proj(features, torch.tensor([500.0]))
            check_finite(tokens)
            return
        tokens = adapter.network.image_tokens(features if len(features) > 1 else features[0])
        for layer in adapter.spec.layers:
            check_finite(*adapter.network.key_value(layer.number, tokens))


def _check_two_scales(adapter: ManagedAdapter, features: tuple[Tensor, ...]) -> None:
    """What is read once of a reference, its tokens at a step, and each layer's keys and values."""
    projector = adapter.network.image_proj
    read = projector.reference(features)
    tokens, _ = projector.resampler(read, torch.tensor([500.0]))
    check_finite(read, tokens)
    for layer in adapter.spec.layers:
        check_finite(*adapter.network.key_value(layer.number, tokens))


def check_finite(*values: object) -> None:
    """Raises `AssertionError` for a NaN or an infinity, in numbers, tensors and tuples of them."""
    for value in values:
        if isinstance(value, tuple):
            check_finite(*value)
        elif isinstance(value, Tensor):
            if not bool(value.float().isfinite().all()):
                raise AssertionError("a tensor that is not finite went through")
        elif isinstance(value, int | float) and not math.isfinite(value):
            raise AssertionError("a number that is not finite went through")


def _features(spec: ProjectorSpec) -> tuple[Tensor, ...]:
    """Ones of the sizes that a projector reads."""
    widths = (spec.feature_width, spec.picture_width or spec.text_width or spec.feature_width, spec.text_width or 2)
    if spec.feature is Feature.TWO_SCALES:
        widths = (spec.feature_width,) * 3
    parts = FEATURES[spec.feature].parts
    if spec.feature is Feature.IDENTITY_AND_STATES:
        widths = (spec.feature_width, *[spec.picture_width] * (len(parts) - 1))
    return tuple(
        torch.ones(1, PATCHES, width) if dimensions == ROWS else torch.ones(1, width)
        for dimensions, width in zip(parts, widths, strict=False)
    )
