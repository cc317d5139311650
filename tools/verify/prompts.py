"""The image prompt that an adapter is verified with: an image through an encoder that fits, else features of noise."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...ipadapter_core.checkpoint.enums import Feature
from ...ipadapter_core.checkpoint.pulid_formats import STATES
from ...ipadapter_core.checkpoint.spec import AdapterSpec
from ...ipadapter_core.encoders.clip_vision import encode_references
from ...ipadapter_core.encoders.load import load_image_encoder
from ...ipadapter_core.encoders.options import EncodeOptions
from ...ipadapter_core.errors import CheckpointError, EncoderMismatchError, ImagePromptError
from ...ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference

SEQUENCES = {Feature.HIDDEN: 257, Feature.LAST: 1024, Feature.PERCEPTION: 577}  # vectors of one image
SINGLE = (Feature.POOLED, Feature.STYLE, Feature.FACE, Feature.RAW_FACE, Feature.ATTENTION_POOLED)


PLACES = 577  # of the hidden states that PuLID reads
LOOKS = (
    729,
    3 * 729,
    4 * 729,
)  # what InstantCharacter reads: last hidden states, those of three layers, those of quadrants
FROM_AN_IMAGE = (*SEQUENCES, Feature.POOLED, Feature.STYLE, Feature.ATTENTION_POOLED)


class Given(NamedTuple):
    """A prompt, and what it was made with in words."""

    prompt: ImagePrompt
    made_with: str


def prompt_for(spec: AdapterSpec, encoders: Sequence[Path]) -> Given | None:
    """A seeded image through the first encoder that fits; noise where none does; None where several features are read."""
    feature = spec.projector.feature
    image = torch.rand(1, 224, 224, 3, generator=torch.Generator().manual_seed(3))
    for path in encoders if feature in FROM_AN_IMAGE else ():
        try:
            return Given(encode_references(spec, load_image_encoder(path), image, EncodeOptions())[0], path.name)
        except (EncoderMismatchError, ImagePromptError, CheckpointError):
            continue  # another adapter's encoder
    if feature in SEQUENCES:
        return _of_noise(spec, (1, SEQUENCES[feature], spec.projector.feature_width))
    if feature is Feature.FACE_AND_PICTURE:
        return _of_a_face(spec)
    if feature is Feature.IDENTITY_AND_STATES:
        return _of_a_portrait(spec)
    if feature is Feature.TWO_SCALES:
        return _of_two_scales(spec)
    if feature in SINGLE:
        return _of_noise(spec, (1, spec.projector.feature_width))
    return None


def _of_a_face(spec: AdapterSpec) -> Given:
    """An identity and the hidden states that come along, as FaceID Plus V2 reads them."""
    generator = torch.Generator().manual_seed(3)
    identity = torch.randn(1, spec.projector.feature_width, generator=generator)
    seen = torch.randn(1, SEQUENCES[Feature.HIDDEN], spec.projector.picture_width, generator=generator)
    blend = torch.tensor([[1.0, 1.0]])  # of the identity's own tokens, and of the perceiver's
    face = (torch.nn.functional.normalize(identity, dim=-1), seen, blend)
    nothing = (torch.zeros_like(identity), torch.zeros_like(seen), blend)
    return _given(spec, EncodedImage(face, nothing))


def _of_a_portrait(spec: AdapterSpec) -> Given:
    """Identity and pooled face, and five hidden states of the face's image, as PuLID reads them."""
    generator, sizes = torch.Generator().manual_seed(3), spec.projector
    states = torch.randn(STATES, 1, PLACES, sizes.picture_width, generator=generator)
    features = torch.randn(1, sizes.feature_width, generator=generator), *states
    return _given(spec, EncodedImage(features, tuple(torch.zeros_like(part) for part in features)))


def _of_two_scales(spec: AdapterSpec) -> Given:
    """Hidden states of two encoders at two scales, as InstantCharacter reads them; the negative is the reference itself."""
    generator, width = torch.Generator().manual_seed(3), spec.projector.feature_width
    features = tuple(torch.randn(1, places, width, generator=generator) for places in LOOKS)
    return _given(spec, EncodedImage(features, features))


def _of_noise(spec: AdapterSpec, shape: tuple[int, ...]) -> Given:
    features: Tensor = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    if spec.projector.feature in (Feature.FACE, Feature.STYLE):
        features = torch.nn.functional.normalize(features, dim=-1)
    return _given(spec, EncodedImage(features, torch.zeros_like(features)))


def _given(spec: AdapterSpec, image: EncodedImage) -> Given:
    prompt = ImagePrompt((Reference(image),), spec.projector.feature, spec.encoder)
    return Given(prompt, "noise in place of an encoder's features")
