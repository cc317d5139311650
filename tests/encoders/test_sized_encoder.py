"""Image encoders at other sizes than they were trained at: what transformers makes of the same weights and pixels there."""

import pytest
import torch
from pack.ipadapter_core.checkpoint.enums import Feature
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.encoders.features import zero_pixel_features
from pack.ipadapter_core.encoders.load import load_image_encoder
from pack.ipadapter_core.encoders.multi_image import Words, encode_content_and_style, encode_instructed
from pack.ipadapter_core.encoders.options import NegativeChoice
from pack.ipadapter_core.encoders.perception import perception_from_weights
from pack.ipadapter_core.encoders.sized_encoder import at_size
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.tests.oracles.diffusers import relative
from pack.tools.miniature.clip import TinyClip
from pack.tools.miniature.faces import loaded, tiny_encoder, weights_of
from pack.tools.miniature.models import adapter_weights, managed, randomise
from pack.tools.miniature.perception import tiny_perception
from pack.tools.miniature.siglip import siglip
from pack.tools.miniature.transformers import adapter, lucifer
from pack.tools.miniature.transformers import weights_of as dit_weights
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from comfy.clip_vision import ClipVisionModel

pytestmark = pytest.mark.adapters

LIMIT = 5e-6
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56,
         "patch_size": 14}  # fmt: skip
KINDS = {
    "CLIP": lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, projection_dim=48)),
    "SigLIP": lambda: SiglipVisionModel(SiglipVisionConfig(**SIZES)),
    "DINOv2": lambda: Dinov2Model(Dinov2Config(**SIZES)),
}


def clip():
    """The same random weights as ComfyUI's encoder and as transformers'."""
    theirs = randomise(
        CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, projection_dim=48, hidden_act="gelu")), 6
    )
    ours = ClipVisionModel(SIZES | {"model_type": "clip_vision_model", "num_channels": 3, "projection_dim": 48,
                                    "hidden_act": "gelu"})  # fmt: skip
    ours.model.float().requires_grad_(False)
    ours.load_sd(theirs.state_dict())
    return ours, theirs


def pictures(height=90, width=70, batch=2):
    shape = (batch, height, width, 3)
    return (torch.rand(shape, generator=torch.Generator().manual_seed(4)) * 255).round() / 255


def normalised(encoder, seen):
    mean, std = torch.tensor(encoder.image_mean), torch.tensor(encoder.image_std)
    return ((seen - mean) / std).movedim(-1, 1)


def stated(theirs, pixels):
    """What transformers makes at the size that the pixels have."""
    with torch.no_grad():
        return theirs(pixels, output_hidden_states=True, interpolate_pos_encoding=True)


def clip_spec(kind):
    return managed(adapter_weights(kind, [32, 32], 96, feature={"base": 48, "plus": 64}[kind])).spec


def anima_spec():
    return adapter(dit_weights(lucifer(2, 128, feature=128))).spec


@pytest.mark.parametrize("kind", ["base", "plus"])
@pytest.mark.parametrize("size", [28, 84, 112])
def test_clip_at_another_size_equals_transformers(size, kind, capsys):
    """Smaller and larger; the pixels that are shown have the size, and so has what is seen of nothing.

    Fails when the class token's place is stretched with the others, and when the table is not stretched by cubics.
    """
    ours, theirs = clip()
    prompt, seen = encode_references(clip_spec(kind), ours, pictures(), EncodeOptions(size=size))
    assert seen.shape == (2, size, size, 3)
    out = stated(theirs, normalised(ours, seen))
    wanted = out.image_embeds if kind == "base" else out.hidden_states[-2]
    got = torch.cat([reference.image.features for reference in prompt.references])
    error = relative(got - wanted, wanted)
    with capsys.disabled():
        print(f"\n  CLIP {kind:4} at {size:3} of 56 pixels: error {error:.1e}")
    assert error <= LIMIT
    if kind == "plus":
        nothing = stated(theirs, torch.zeros(1, 3, size, size)).hidden_states[-2]
        assert relative(prompt.references[0].image.negative - nothing, nothing) <= LIMIT
    assert f"at {size} pixels" in prompt.made_from


@pytest.mark.parametrize("size", [48, 96])
def test_siglip_at_another_size_equals_transformers(size):
    """As Anima's adapter reads it, and with its pooling head."""
    theirs, ours = siglip()
    prompt, seen = encode_references(anima_spec(), ours, pictures(), EncodeOptions(size=size))
    out = stated(theirs, normalised(ours, seen))
    got = torch.cat([reference.image.features for reference in prompt.references])
    assert seen.shape == (2, size, size, 3) and prompt.feature is Feature.LAST
    assert relative(got - out.last_hidden_state, out.last_hidden_state) <= LIMIT
    pooled = at_size(ours, size).encode_image(seen, crop=False).pooler_output
    assert relative(pooled - out.pooler_output, out.pooler_output) <= LIMIT


@pytest.mark.parametrize("kind", KINDS)
def test_folders_of_hugging_face_at_another_size(kind, tmp_path):
    """Whatever transformers itself can run at another size."""
    theirs = randomise(KINDS[kind](), 4)
    theirs.save_pretrained(tmp_path)
    encoder = at_size(load_image_encoder(tmp_path), 84)
    made = encoder.encode_image(pictures(84, 84), crop=False)
    normal = normalised(encoder, pictures(84, 84))
    out = theirs(normal, output_hidden_states=True) if kind == "DINOv2" else stated(theirs, normal)
    assert relative(made.last_hidden_state - out.last_hidden_state, out.last_hidden_state) <= LIMIT
    assert relative(made.penultimate_hidden_states - out.hidden_states[-2], out.hidden_states[-2]) <= LIMIT


def test_by_default_nothing_changes():
    """To the bit: no size, and the encoder's own, are the encoder itself; and after another size it is as it was."""
    ours, _ = clip()
    assert at_size(ours, 0) is ours and at_size(ours, 56) is ours
    before = ours.encode_image(pictures(56, 56), crop=False)
    nothing, shapes = zero_pixel_features(ours), {key: one.shape for key, one in ours.model.state_dict().items()}
    encode_references(clip_spec("plus"), ours, pictures(), EncodeOptions(size=112))
    after = ours.encode_image(pictures(56, 56), crop=False)
    assert torch.equal(before.last_hidden_state, after.last_hidden_state)
    assert torch.equal(nothing, zero_pixel_features(ours)) and ours.image_size == 56
    assert shapes == {key: one.shape for key, one in ours.model.state_dict().items()}
    one, _ = encode_references(clip_spec("plus"), ours, pictures(), EncodeOptions())
    other, _ = encode_references(clip_spec("plus"), ours, pictures(), EncodeOptions(size=56))
    assert torch.equal(one.references[1].image.features, other.references[1].image.features)


def test_pairs_and_instructions_at_another_size(tmp_path):
    """CSGO's two images, and an image with an instruction: as many features as there are patches then."""
    encoder = tiny_encoder()
    pair = loaded(weights_of("CSGO", [32] * 60, 96), tmp_path, "csgo.safetensors").spec
    made, seen = encode_content_and_style(pair, encoder, pictures(), pictures(), EncodeOptions(size=84))
    assert seen.shape[1:3] == (84, 84) and made.references[0].image.features[0].shape[1] == 37
    told = loaded(weights_of("Instruct", [32, 32], 96), tmp_path, "told.safetensors").spec
    made, _ = encode_instructed(
        told, encoder, TinyClip("last"), pictures(), Words("x", "y", "z"), EncodeOptions(size=84)
    )
    image = made.references[0].image
    assert image.features[0].shape[1] == image.negative[0].shape[1] == 37


@pytest.mark.parametrize(("size", "near"), [(450, "448"), (13, "14"), (2100, "2044")])
def test_a_size_that_patches_do_not_fill_is_refused(size, near):
    """With the nearest that they do, at most 2048."""
    with pytest.raises(EncoderMismatchError, match=f"a size of {size} pixels.*multiple of 14.*such as {near}"):
        at_size(clip()[0], size)


def test_an_encoder_of_one_size_says_so():
    """PE-Core chooses its own shapes."""
    with pytest.raises(EncoderMismatchError, match="perception_vision_model.*only at its own"):
        at_size(perception_from_weights(tiny_perception(), "pe.pt"), 84)


@pytest.mark.parametrize("size", [0, 96])
def test_a_grey_image_as_the_negative(size):
    """Anima's own node encodes 128, 128, 128 in place of nothing, at the size of the reference."""
    theirs, ours = siglip()
    look = EncodeOptions(size=size, negative=NegativeChoice.GREY)
    prompt, seen = encode_references(anima_spec(), ours, pictures(), look)
    grey = stated(theirs, normalised(ours, torch.full((1, *seen.shape[1:3], 3), 128 / 255))).last_hidden_state
    assert relative(prompt.references[1].image.negative - grey, grey) <= LIMIT
    plain, _ = encode_references(anima_spec(), ours, pictures(), EncodeOptions(size=size))
    assert not plain.references[0].image.negative.any()
    assert torch.equal(plain.references[0].image.features, prompt.references[0].image.features)


def test_a_negative_image_goes_before_the_choice():
    """What is connected is meant."""
    _, ours = siglip()
    given = pictures(batch=1)
    prompt, _ = encode_references(anima_spec(), ours, pictures(), EncodeOptions(negative=NegativeChoice.GREY), given)
    wanted, _ = encode_references(anima_spec(), ours, given, EncodeOptions())
    assert torch.equal(prompt.references[0].image.negative, wanted.references[0].image.features)
