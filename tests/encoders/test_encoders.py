"""Image encoders against transformers on the same random weights, and what each adapter is shown of an image."""

import pytest
import torch
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.encoders.siglip import siglip_from_weights
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.tools.miniature.models import randomise
from pack.tools.miniature.siglip import SIZES, in_half, siglip
from pack.tools.miniature.transformers import adapter, instantx_flux, instantx_sd3, lucifer, relative, weights_of, xlabs
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from comfy.clip_vision import ClipVisionModel

pytestmark = pytest.mark.dit

LIMIT = 5e-6


def clip():
    """transformers' CLIP and ComfyUI's, on the same weights."""
    sizes = SIZES | {"projection_dim": 48, "hidden_act": "quick_gelu"}
    theirs = in_half(randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes)), 3))
    ours = ClipVisionModel(sizes | {"model_type": "clip_vision_model", "num_channels": 3})
    missing, unknown = ours.load_sd(dict(theirs.state_dict()))
    assert not missing and set(unknown) <= {"vision_model.embeddings.position_ids"}
    return theirs, ours


def pictures(seed=4):
    """Two images of 8-bit colours in the encoders' own size."""
    return (torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(seed)) * 255).round() / 255


def seen_by(theirs, images, mean, std):
    pixels = (images - torch.tensor(mean)) / torch.tensor(std)
    with torch.no_grad():
        return theirs(pixels.movedim(-1, 1), output_hidden_states=True)


CASES = {
    "InstantX FLUX": (instantx_flux(5, 256, 64, feature=128), lambda out: out.pooler_output),
    "InstantX SD3.5": (instantx_sd3(3, 192, feature=128), lambda out: out.hidden_states[-2]),
    "Anima": (lucifer(3, 128, feature=128), lambda out: out.last_hidden_state),
}


@pytest.mark.parametrize("case", CASES)
def test_siglip_features_equal_transformers(case, capsys):
    """The pooled vector, the last layer but one, and the last layer; the negative is zeros in all three."""
    shapes, wanted = CASES[case]
    theirs, ours = siglip()
    prompt, _ = encode_references(adapter(weights_of(shapes)).spec, ours, pictures(), EncodeOptions())
    found = torch.cat([one.image.features for one in prompt.references]).detach()
    expected = wanted(seen_by(theirs, pictures(), [0.5] * 3, [0.5] * 3))
    error = relative(found - expected, expected)
    with capsys.disabled():
        print(f"\n  {case:15} error {error:.1e}")
    assert error <= LIMIT
    assert all(not one.image.negative.any() for one in prompt.references)


def test_clip_features_and_black_negative_equal_transformers():
    """XLabs' adapter: the projected class token, against that of a black image."""
    theirs, ours = clip()
    mean, std = ours.image_mean, ours.image_std
    prompt, _ = encode_references(adapter(weights_of(xlabs(2, 256, 64))).spec, ours, pictures(), EncodeOptions())
    expected = seen_by(theirs, pictures(), mean, std).image_embeds
    black = seen_by(theirs, torch.zeros_like(pictures()[:1]), mean, std).image_embeds
    assert relative(torch.cat([one.image.features for one in prompt.references]) - expected, expected) <= LIMIT
    assert relative(prompt.references[1].image.negative - black, black) <= LIMIT


def test_anima_sees_the_whole_picture_on_black():
    """A wide image is scaled to fit and its bars are black; SigLIP's other adapters see it stretched."""
    _, ours = siglip()
    wide = torch.ones(1, 32, 128, 3)
    _, padded = encode_references(adapter(weights_of(lucifer(3, 128, feature=128))).spec, ours, wide, EncodeOptions())
    _, stretched = encode_references(
        adapter(weights_of(instantx_sd3(3, 192, feature=128))).spec, ours, wide, EncodeOptions()
    )
    assert padded[0, :24].sum() == 0 and padded[0, 24:40].min() == 1 and padded[0, 40:].sum() == 0
    assert stretched.min() == 1


def test_a_siglip_without_its_head_is_refused_with_what_to_do():
    """ComfyUI's own loader leaves the pooling head behind."""
    theirs, ours = siglip()
    del ours.model.head
    with pytest.raises(EncoderMismatchError, match="Load Image Encoder"):
        encode_references(
            adapter(weights_of(instantx_flux(5, 256, 64, feature=128))).spec, ours, pictures(), EncodeOptions()
        )


def test_the_wrong_encoder_is_refused():
    """CLIP where Anima needs SigLIP2, and SigLIP's sequence where XLabs needs one vector."""
    _, clip_model = clip()
    _, siglip_model = siglip()
    with pytest.raises(EncoderMismatchError, match="last_hidden_state of width 128"):
        encode_references(
            adapter(weights_of(lucifer(3, 128, feature=128))).spec, clip_model, pictures(), EncodeOptions()
        )
    with pytest.raises(EncoderMismatchError, match="one for each patch, but"):
        encode_references(
            adapter(weights_of(xlabs(2, 256, 64, feature=128))).spec, siglip_model, pictures(), EncodeOptions()
        )


def test_a_damaged_encoder_file_is_named():
    """A key that is not there."""
    theirs, _ = siglip()
    weights = {
        f"vision_model.{key.removeprefix('vision_model.')}": tensor for key, tensor in theirs.state_dict().items()
    }
    weights.pop("vision_model.head.mlp.fc2.bias")
    with pytest.raises(EncoderMismatchError, match="broken.safetensors.*1 of its keys"):
        siglip_from_weights(weights, "broken.safetensors")


def test_pooling_head_matters():
    """The comparison above would notice a head that does nothing."""
    _, ours = siglip()
    out = ours.encode_image(pictures(), crop=False)
    assert relative(out["pooler_output"] - out["last_hidden_state"].mean(1), out["pooler_output"]) > 0.1
