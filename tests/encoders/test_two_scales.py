"""SigLIP and DINOv2 at two scales, as InstantCharacter reads them: what transformers makes of the pipeline's own pixels."""

import numpy
import pytest
import torch
from pack.ipadapter_core.encoders.dinov2 import dino_states
from pack.ipadapter_core.encoders.load import load_image_encoder
from pack.ipadapter_core.encoders.one_image import encode_one_by_one
from pack.ipadapter_core.encoders.options import EncodeOptions, MaskUse, NegativeChoice
from pack.ipadapter_core.encoders.siglip import siglip_from_weights
from pack.ipadapter_core.encoders.two_scales import DINO_LAYERS, SIGLIP_LAYERS
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.ipadapter_core.images.fit import ResizeMode
from pack.tools.miniature.dino import (
    DINO,
    IMAGENET,
    SIGLIP,
    comfy_dino,
    comfy_siglip,
    save_dino,
    theirs_dino,
    theirs_siglip,
)
from pack.tools.miniature.instant_character import character_weights, instant_character
from pack.tools.miniature.transformers import adapter, relative
from PIL import Image
from transformers import SiglipVisionConfig, SiglipVisionModel

pytestmark = pytest.mark.adapters

LIMIT = 5e-6
WIDTH = SIGLIP["hidden_size"] + DINO["hidden_size"]
SIDE = SIGLIP["image_size"]


@pytest.fixture(scope="module")
def spec():
    return adapter(character_weights(instant_character(5, 256, feature=4 * 28))).spec


@pytest.fixture(scope="module")
def networks():
    return theirs_siglip(), theirs_dino()


@pytest.fixture(scope="module")
def encoders(networks):
    return comfy_siglip(networks[0]), comfy_dino(networks[1])


def picture(height, width, channels=3):
    generator = torch.Generator().manual_seed(4)
    small = torch.rand(1, channels, 6, 6, generator=generator)
    large = torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear")
    return (large.movedim(1, -1) * 255).round() / 255


def prepared(images, mean, std):
    pixels = torch.stack([torch.as_tensor(numpy.array(one)).float() / 255 for one in images])
    return ((pixels - torch.tensor(mean)) / torch.tensor(std)).movedim(-1, 1)


@torch.no_grad()
def published(networks, image):
    """The three features by transformers and Pillow, as Tencent/InstantCharacter's pipeline makes them."""
    side = max(image.size)
    image = image.resize((side, side))
    whole, large = image.resize((SIDE, SIDE)), image.resize((2 * SIDE, 2 * SIDE))
    corners = [(left, top, left + SIDE, top + SIDE) for top in (0, SIDE) for left in (0, SIDE)]
    quadrants = [large.crop(corner) for corner in corners]
    siglip, dino = networks

    def seen(images):
        one = siglip(prepared(images, [0.5] * 3, [0.5] * 3), output_hidden_states=True)
        other = dino(prepared(images, *IMAGENET.values()), output_hidden_states=True)
        last = torch.cat((one.last_hidden_state, other.last_hidden_state[:, 1:]), -1)
        pairs = zip(SIGLIP_LAYERS, DINO_LAYERS, strict=True)
        early = [torch.cat((one.hidden_states[a], other.hidden_states[b][:, 1:]), -1) for a, b in pairs]
        return last, torch.cat(early, 1)

    last, early = seen([whole])
    return last, early, seen(quadrants)[0].flatten(0, 1).unsqueeze(0)


def encoded(spec, encoders, image, **look):
    prompt, seen = encode_one_by_one(spec, encoders, image, EncodeOptions(**look))
    return prompt.references[0].image, seen


def test_the_features_are_the_pipelines(spec, networks, encoders, capsys):
    """All three, of a picture that needs no resizing twice; the negative is the reference itself."""
    image = picture(2 * SIDE, 2 * SIDE)
    found, seen = encoded(spec, encoders, image)
    wanted = published(networks, Image.fromarray((image[0] * 255).round().byte().numpy()))
    patches = (SIDE // 14) ** 2
    assert [part.shape for part in wanted] == [(1, times * patches, WIDTH) for times in (1, 3, 4)]
    assert [part.shape for part in found.features] == [part.shape for part in wanted]
    errors = [relative(one - other, other) for one, other in zip(found.features[::2], wanted[::2], strict=True)]
    with capsys.disabled():
        print(f"\n  features at two scales: {', '.join(f'{error:.1e}' for error in errors)}")
    assert found.negative is found.features and seen.shape == (1, SIDE, SIDE, 3)
    assert errors[1] <= LIMIT, "quadrants, whose pixels are the picture's own"
    assert errors[0] < 0.02, "the whole is resized, by Pillow in two rounded passes"


def test_siglip_so400m_looks_at_384_pixels():
    """Of which its 27 patches of 14 leave a rest; no other published SigLIP's do."""
    sizes = SiglipVisionConfig(
        hidden_size=64, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1, image_size=384, patch_size=14
    )
    weights = {
        f"vision_model.{key.removeprefix('vision_model.')}": one
        for key, one in SiglipVisionModel(sizes).state_dict().items()
    }
    assert siglip_from_weights(weights, "so400m.safetensors").image_size == 384


def test_early_layers_are_numbered_as_transformers_does(spec, networks, encoders):
    """From the same pixels, with ComfyUI's encoders and with folders of Hugging Face."""
    pixels = picture(SIDE, SIDE)
    out = networks[1](
        prepared([Image.fromarray((pixels[0] * 255).round().byte().numpy())], *IMAGENET.values()),
        output_hidden_states=True,
    )
    found = dino_states(encoders[1], pixels, DINO_LAYERS)
    for number, one in zip(DINO_LAYERS, found.early, strict=True):
        wanted = out.hidden_states[number][:, 1:]
        assert relative(one - wanted, wanted) <= LIMIT
    found, _ = encoded(spec, encoders, pixels)
    small = published(networks, Image.fromarray((pixels[0] * 255).round().byte().numpy()))
    assert relative(found.features[0] - small[0], small[0]) <= LIMIT
    assert relative(found.features[1] - small[1], small[1]) <= LIMIT


def test_dinov2_from_a_folder_and_in_either_order(spec, networks, encoders, tmp_path):
    """Load Image Encoder's is as good, whatever its preprocessor says about size, and so is the other input."""
    save_dino(networks[1], tmp_path)
    folder, image = load_image_encoder(tmp_path), picture(40, 52)
    one, _ = encoded(spec, encoders, image)
    other, _ = encoded(spec, (folder, encoders[0]), image)
    for part, again in zip(one.features, other.features, strict=True):
        assert relative(part - again, part) <= LIMIT
    assert folder.image_size == 224 and encoders[1].image_size == 518, "the encoders themselves stay as they are"


def test_what_is_transparent_or_masked_is_white(spec, encoders):
    """An image with alpha is the same image on white, and what a mask hides is white as well."""
    image = picture(40, 40)
    clear = torch.cat((image, torch.ones(1, 40, 40, 1)), -1)
    clear[:, :, :20, 3] = 0
    white = image.clone()
    white[:, :, :20] = 1
    found, seen = encoded(spec, encoders, clear)
    wanted, same = encoded(spec, encoders, white)
    assert torch.equal(seen, same) and all(map(torch.equal, found.features, wanted.features))
    _, hidden = encoded(spec, encoders, image, mask=torch.zeros(1, 40, 40))
    assert torch.equal(hidden, torch.ones_like(hidden))


def test_other_negatives_fits_and_sizes(spec, encoders):
    """A grey image, an image of one's own, the centre, and a side that both encoders' patches fill."""
    image, other = picture(40, 56), picture(30, 30).flip(1)
    grey, _ = encoded(spec, encoders, image, negative=NegativeChoice.GREY)
    plain, _ = encoded(spec, encoders, image)
    assert all(map(torch.equal, grey.features, plain.features))
    assert not any(map(torch.equal, grey.negative, plain.negative))
    prompt, _ = encode_one_by_one(spec, encoders, torch.cat((image, image.flip(2))), EncodeOptions(), other)
    assert len(prompt.references) == 2 and prompt.references[0].image.negative is prompt.references[1].image.negative
    own, _ = encoded(spec, encoders, other)
    assert all(map(torch.equal, prompt.references[0].image.negative, own.features))
    centre, seen = encoded(spec, encoders, image, fit=ResizeMode.CENTER, size=56)
    assert seen.shape == (1, 56, 56, 3) and centre.features[0].shape[1] == 16


def test_what_does_not_fit_is_said(spec, encoders, networks):
    """A missing encoder, two of a kind, other sizes, and a mask over patches."""
    siglip, dino = encoders
    image, shallow = picture(30, 30), comfy_siglip(networks[0])
    shallow.model.vision_model.encoder.layers = shallow.model.vision_model.encoder.layers[:20]
    cases = {
        "none is connected": ((None, dino), {}),
        "found siglip_vision_model: load the other one": ((siglip, None), {}),
        "about 20 layers, expected 27": ((shallow, dino), {}),
        "set mask_use of Encode Reference Image to 'pixels'": (
            encoders, {"mask": torch.ones(1, 30, 30), "mask_use": MaskUse.PATCHES}),
    }  # fmt: skip
    for message, (pair, look) in cases.items():
        with pytest.raises(EncoderMismatchError, match=message):
            encoded(spec, pair, image, **look)
