"""How an image becomes what an encoder was trained on: by the adapter, or as it is asked for."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from pack.ipadapter_core.checkpoint.enums import Feature
from pack.ipadapter_core.encoders.options import EncodeOptions
from pack.ipadapter_core.encoders.preprocess import SIGLIP, Preprocessing, pixels_for, preprocessing_for
from pack.ipadapter_core.images.fit import ResizeMode
from pack.tests.oracles.recorded_passes import short_adapter, short_model

pytestmark = pytest.mark.engine

SHAPES = ((32, 64), (64, 32))


def encoder(kind="clip_vision_model"):
    """What is asked of one."""
    return SimpleNamespace(model_type=kind, image_size=32, image_mean=[0.5, 0.25, 0.75], shapes=SHAPES)


@pytest.mark.parametrize(
    ("feature", "kind", "expected"),
    [
        (Feature.POOLED, "clip_vision_model", Preprocessing(ResizeMode.CENTER, None)),
        (Feature.HIDDEN, "clip_vision_model", Preprocessing(ResizeMode.CENTER, None)),
        (Feature.POOLED, SIGLIP, Preprocessing(ResizeMode.STRETCH, None)),
        (Feature.LAST, SIGLIP, Preprocessing(ResizeMode.PAD, 0.0)),
        (Feature.PERCEPTION, "perception", Preprocessing(ResizeMode.STRETCH, None, shapes=SHAPES)),
    ],
    ids=str,
)
def test_each_adapter_sees_as_it_was_trained(feature, kind, expected):
    """And what is asked for goes before it; sharpness is the same either way."""
    spec = short_adapter(short_model()).spec
    spec = replace(spec, projector=replace(spec.projector, feature=feature))
    assert preprocessing_for(spec, encoder(kind), EncodeOptions(fit=ResizeMode.TRAINED)) == expected
    asked = preprocessing_for(spec, encoder(kind), EncodeOptions(fit=ResizeMode.LEFT, sharpening=0.5))
    assert asked == Preprocessing(ResizeMode.LEFT, None, 0.5)


def test_bars_are_the_encoders_mean_or_black():
    """Beside a padded image; a wide one has them above and below."""
    white = torch.ones(1, 16, 32, 3)
    mean = pixels_for(encoder(), white, Preprocessing(ResizeMode.PAD, None))
    black = pixels_for(encoder(), white, Preprocessing(ResizeMode.PAD, 0.0))
    assert mean.shape == (1, 32, 32, 3) and (mean[:, 8:24] == 1).all() and (black[:, 8:24] == 1).all()
    assert torch.allclose(mean[0, 0, 0], torch.tensor([0.5, 0.25, 0.75]), atol=1 / 255) and not black[:, :8].any()
