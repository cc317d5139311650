"""Encode Reference Image: what the encoder sees, and that the features are those of transformers on the same weights."""

import pytest
import torch
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.encoders.features import zero_pixel_features
from pack.ipadapter_core.encoders.preprocess import Preprocessing, pixels_for
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.ipadapter_core.images.fit import ResizeMode, fit_square
from pack.tests.oracles.diffusers import relative
from pack.tools.miniature.models import adapter_weights, managed, randomise
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from comfy.clip_vision import ClipVisionModel

pytestmark = pytest.mark.engine

SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56,
         "patch_size": 14, "projection_dim": 48, "hidden_act": "gelu"}  # fmt: skip

CENTER = Preprocessing(ResizeMode.CENTER, None)


@pytest.fixture(scope="module")
def encoders():
    """The same random weights as ComfyUI's encoder and as transformers'."""
    theirs = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES)), seed=6)
    ours = ClipVisionModel(SIZES | {"model_type": "clip_vision_model", "num_channels": 3})
    ours.model.float().requires_grad_(False)  # ComfyUI would keep the weights in float16
    missing, unexpected = ours.load_sd(theirs.state_dict())
    assert not missing and not [key for key in unexpected if "position_ids" not in key]
    return ours, theirs


def spec_for(kind):
    feature = {"base": 48, "plus": 64}[kind]
    return managed(adapter_weights(kind, [32, 32], 96, feature=feature)).spec


def picture(height=56, width=56, channels=3, seed=0, batch=1):
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(seed))


def normalised(encoder, seen):
    mean, std = torch.tensor(encoder.image_mean), torch.tensor(encoder.image_std)
    return ((seen - mean) / std).movedim(-1, 1)


@pytest.mark.parametrize("kind", ["base", "plus"])
def test_features_equal_transformers_on_the_previewed_pixels(encoders, kind):
    """Features and preview belong together; the negative is the reference implementation's."""
    ours, theirs = encoders
    prompt, seen = encode_references(spec_for(kind), ours, picture(80, 64, batch=2), EncodeOptions())
    with torch.no_grad():
        out = theirs(normalised(ours, seen), output_hidden_states=True)
        nothing = theirs(torch.zeros(1, 3, 56, 56), output_hidden_states=True)
    expected = out.image_embeds if kind == "base" else out.hidden_states[-2]
    negative = torch.zeros(1, 48) if kind == "base" else nothing.hidden_states[-2]
    got = torch.cat([reference.image.features for reference in prompt.references])
    assert relative(got - expected, expected) < 5e-6
    assert (prompt.references[1].image.negative - negative).abs().max() < 1e-5
    assert prompt.feature is (Feature.POOLED if kind == "base" else Feature.HIDDEN)


def test_a_negative_picture_takes_the_place_of_the_neutral_one(encoders):
    """Its features are those of the same image as a reference."""
    ours, _ = encoders
    spec, other = spec_for("plus"), picture(seed=3)
    against, _ = encode_references(spec, ours, other, EncodeOptions())
    prompt, _ = encode_references(spec, ours, picture(), EncodeOptions(), negative=other)
    assert torch.equal(prompt.references[0].image.negative, against.references[0].image.features)
    assert not torch.equal(prompt.references[0].image.negative, zero_pixel_features(ours))


def test_features_carry_no_gradient(encoders):
    """In a script, where nobody turned gradients off: a prompt would hold every layer's activations."""
    ours, _ = encoders
    ours.model.requires_grad_(True)
    try:
        with torch.enable_grad():
            prompt, _ = encode_references(spec_for("plus"), ours, picture(), EncodeOptions())
    finally:
        ours.model.requires_grad_(False)
    assert not prompt.references[0].image.features.requires_grad


@pytest.mark.parametrize("fit", ResizeMode)
@pytest.mark.parametrize("shape", [(90, 60), (60, 90), (56, 56), (300, 20)])
def test_every_fit_gives_a_square(fit, shape):
    """Of the encoder's size, within 0..1."""
    square = fit_square(picture(*shape).movedim(-1, 1), 56, fit, torch.zeros(3))
    assert square.shape == (1, 3, 56, 56) and square.min() >= 0 and square.max() <= 1


def test_fits_keep_what_they_say():
    """An image of three bands: crops keep their band, pad keeps all on the background, stretch squeezes all."""
    bands = torch.zeros(1, 3, 30, 10)
    for index in range(3):
        bands[:, index, 10 * index : 10 * index + 10] = 1
    whole = {fit: fit_square(bands, 10, fit, torch.full((3,), 0.5)) for fit in ResizeMode}
    assert (
        whole[ResizeMode.TOP][0, 0].mean() > 0.95
        and whole[ResizeMode.BOTTOM][0, 2].mean() > 0.95
        and whole[ResizeMode.CENTER][0, 1].mean() > 0.95
    )
    assert all(abs(float(whole[ResizeMode.STRETCH][0, index].mean()) - 1 / 3) < 0.02 for index in range(3))
    assert torch.equal(whole[ResizeMode.PAD][..., 0], torch.full((1, 3, 10), 0.5))
    assert torch.equal(
        fit_square(bands.transpose(2, 3), 10, ResizeMode.LEFT, torch.zeros(3)), whole[ResizeMode.TOP].transpose(2, 3)
    )


def test_masked_and_transparent_parts_are_neutral(encoders):
    """Black in the mask, or alpha 0, is the encoder's mean colour, to 8 bits; the rest is the image."""
    ours, _ = encoders
    mask = torch.ones(1, 56, 56)
    mask[:, :, :28] = 0
    plain = picture()
    transparent = torch.cat((plain, mask.unsqueeze(-1)), dim=-1)
    for seen in (pixels_for(ours, plain, CENTER, mask), pixels_for(ours, transparent, CENTER)):
        neutral = (torch.tensor(ours.image_mean) * 255).round() / 255
        assert torch.equal(seen[0, :, :28], neutral.expand(56, 28, 3))
        assert torch.equal(seen[0, :, 28:], ((plain[0, :, 28:] * 255).round() / 255))


def test_a_mask_of_ones_changes_nothing(encoders):
    """Of any size."""
    ours, _ = encoders
    assert torch.equal(pixels_for(ours, picture(), CENTER, torch.ones(1, 9, 30)), pixels_for(ours, picture(), CENTER))


def test_the_wrong_encoder_is_named(encoders):
    """Found, expected, and the node to change; without an encoder too."""
    ours, _ = encoders
    spec = managed(adapter_weights("base", [32, 32], 96, feature=1024)).spec
    with pytest.raises(
        EncoderMismatchError, match="width 48.*width 1024.*ViT-H/14.*clip_vision of Encode Reference Image"
    ):
        encode_references(spec, ours, picture(), EncodeOptions())
    with pytest.raises(EncoderMismatchError, match="none is connected.*ViT-H/14.*Load CLIP Vision"):
        encode_references(spec, None, picture(), EncodeOptions())
