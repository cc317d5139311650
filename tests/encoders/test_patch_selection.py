"""A mask that selects patches: which ones, at any fit; what the adapter reads, and what else in the reference can still say."""

import pytest
import torch
from pack.ipadapter_core.encoders.clip_vision import encode_references
from pack.ipadapter_core.encoders.options import EncodeOptions, MaskUse
from pack.ipadapter_core.encoders.patch_selection import patch_grid
from pack.ipadapter_core.errors import ImagePromptError
from pack.ipadapter_core.images.fit import ResizeMode
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.prompt.combine import Combination, combine
from pack.ipadapter_core.prompt.image_prompt import EncodedImage
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import call_of, world
from pack.tools.miniature.models import adapter_weights, managed, randomise
from pack.tools.miniature.transformers import noise, predict, prompt_for, relative

from comfy.clip_vision import ClipVisionModel

pytestmark = pytest.mark.engine

SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56,
         "patch_size": 14, "projection_dim": 48, "hidden_act": "gelu", "model_type": "clip_vision_model",
         "num_channels": 3}  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    """A CLIP that sees 4 x 4 patches."""
    model = ClipVisionModel(dict(SIZES))
    model.model.float().requires_grad_(False)
    randomise(model.model, seed=6)
    return model


def spec_for(kind):
    return managed(adapter_weights(kind, [32, 32], 96, feature={"base": 48, "plus": 64}[kind])).spec


def picture(height=56, width=56, seed=0, batch=1):
    return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed))


def left_half(height=56, width=56):
    return (torch.arange(width) < width // 2).float().expand(1, height, width)


def encode(encoder, mask, fit=ResizeMode.TRAINED, images=None):
    look = EncodeOptions(fit, mask, mask_use=MaskUse.PATCHES)
    return encode_references(spec_for("plus"), encoder, picture() if images is None else images, look)


def test_the_features_of_the_whole_image_without_what_is_black(encoder):
    """Those of the left half's eight patches, as the encoder made them of everything; the negative loses the same places."""
    (whole,), seen = encode(encoder, torch.ones(1, 56, 56))[0].references, picture()
    (found,) = encode(encoder, left_half())[0].references
    places = [1 + 4 * row + column for row in range(4) for column in (0, 1)]
    plain, _ = encode_references(spec_for("plus"), encoder, seen, EncodeOptions())
    assert torch.equal(whole.image.features, plain.references[0].image.features)
    assert torch.equal(found.image.features, whole.image.features[:, places])
    assert torch.equal(found.image.negative, whole.image.negative[:, places])


def test_an_image_of_its_own_mask_each(encoder):
    """A batch of masks; the last one stays for the images that follow."""
    masks = torch.cat((torch.ones(1, 56, 56), left_half()))
    prompt, seen = encode(encoder, masks, images=picture(batch=3))
    assert [reference.image.features.shape[1] for reference in prompt.references] == [17, 8, 8]
    darker = seen[1, :, 28:].mean() / picture(batch=3)[1, :, 28:].mean()
    assert 0.2 < darker < 0.3 and abs(seen[1, :, :28] - picture(batch=3)[1, :, :28]).max() < 0.01


@pytest.mark.parametrize(
    ("fit", "size", "count"),
    [
        (ResizeMode.CENTER, (56, 112), 8),
        (ResizeMode.LEFT, (56, 112), 17),
        (ResizeMode.STRETCH, (56, 112), 8),
        (ResizeMode.PAD, (56, 112), 4),
    ],
)
def test_masks_go_the_way_of_their_image(encoder, fit, size, count):
    """The left half of a wide image: cut, cropped to all of it, stretched, or padded with bars that nobody selected."""
    (found,) = encode(encoder, left_half(*size), fit, picture(*size))[0].references
    assert found.image.features.shape[1] == count


@pytest.mark.parametrize(
    ("tokens", "size", "grid"),
    [(257, (224, 224), (16, 16)), (577, (336, 336), (24, 24)), (729, (384, 384), (27, 27)), (1024, (512, 512), (32, 32)),
     (257, (448, 448), (16, 16)), (573, (364, 308), (26, 22)), (572, (308, 364), (22, 26)), (5, (28, 28), (2, 2))],
    ids=str,
)  # fmt: skip
def test_the_grid_of_published_encoders(tokens, size, grid):
    """CLIP with its class token, SigLIP without, PE-Core in an aspect of its own."""
    assert patch_grid(tokens, size) == grid


def test_the_encoder_has_seen_what_is_black(encoder):
    """Blackened pixels are not seen at all; dropped patches were, by their neighbours, as in an image without a mask."""
    one, other = picture(seed=1), picture(seed=1)
    other[:, :, 28:] = 0.5
    looks = [EncodeOptions(mask=left_half(), mask_use=use) for use in MaskUse]
    (pixels, patches), (other_pixels, other_patches) = (
        [encode_references(spec_for("plus"), encoder, image, look)[0].references[0].image.features for look in looks]
        for image in (one, other)
    )
    assert torch.equal(pixels, other_pixels) and not torch.equal(patches, other_patches)


@pytest.mark.parametrize(("kind", "mask", "words"), [("base", left_half(), "patch by patch"),
                                                     ("plus", torch.zeros(1, 56, 56), "4 x 4 patches")])  # fmt: skip
def test_one_error_says_why_not(encoder, kind, mask, words):
    """One vector for the whole image; nothing left."""
    with pytest.raises(ImagePromptError, match=words):
        encode_references(spec_for(kind), encoder, picture(), EncodeOptions(mask=mask, mask_use=MaskUse.PATCHES))


@pytest.mark.parametrize("case", ["UNet plus", "Anima LuciferTC", "SD3.5 InstantX"])
def test_references_with_patches_each_of_its_own(case):
    """Side by side, stacked or together; a mean of features that are not the same places is refused."""
    _, model, ip_adapter, prompt = world(case)
    width = prompt.references[0].image.features.shape[-1]
    fewer = prompt_for(ip_adapter, noise(1, 5, width, seed=3))
    fewer = fewer.with_references(
        tuple(type(one)(EncodedImage(one.image.features, one.image.negative[:, :5])) for one in fewer.references)
    )
    both = combine((prompt, fewer))
    call = call_of(case)
    plain = predict(model, call)
    found = predict(apply_image_prompt(model, ip_adapter, both, Strength(1.0)), call)
    other = predict(apply_image_prompt(model, ip_adapter, combine((fewer, prompt)), Strength(1.0)), call)
    assert relative(found - other, found - plain) < 2e-5
    with pytest.raises(ImagePromptError, match="image prompt 1"):
        combine((prompt, fewer), Combination.AVERAGE)
