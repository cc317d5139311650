"""Tiled references and a closer look, against transformers on the same weights and a float64 statement of the pooling."""

import numpy as np
import pytest
import torch
from pack.ipadapter_core.encoders.clip_vision import encode_references
from pack.ipadapter_core.encoders.options import Detail, EncodeOptions
from pack.ipadapter_core.encoders.preprocess import Preprocessing, pixels_for
from pack.ipadapter_core.encoders.tiled import encode_tiles
from pack.ipadapter_core.images.fit import ResizeMode
from pack.ipadapter_core.images.sharpen import sharpen
from pack.tests.oracles.diffusers import relative
from pack.tools.miniature.models import adapter_weights, managed, randomise
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from comfy.clip_vision import ClipVisionModel

pytestmark = pytest.mark.catalogue

SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "patch_size": 14,
         "projection_dim": 48, "hidden_act": "gelu"}  # fmt: skip


@pytest.fixture(scope="module", params=[56, 84], ids=lambda size: f"{size} pixels")
def encoders(request):
    """The same random weights as ComfyUI's encoder and as transformers', with 4 x 4 or 6 x 6 patches."""
    sizes = SIZES | {"image_size": request.param}
    theirs = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes)), seed=6)
    ours = ClipVisionModel(sizes | {"model_type": "clip_vision_model", "num_channels": 3})
    ours.model.float().requires_grad_(False)
    ours.load_sd(theirs.state_dict())
    return ours, theirs


def spec_for(kind):
    return managed(adapter_weights(kind, [32, 32], 96, feature={"base": 48, "plus": 64}[kind])).spec


def picture(height, width, seed=0, batch=1):
    return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed))


def theirs_of(encoders, kind, pixels):
    """What transformers makes of square images."""
    ours, theirs = encoders
    mean, std = torch.tensor(ours.image_mean), torch.tensor(ours.image_std)
    with torch.no_grad():
        out = theirs(((pixels - mean) / std).movedim(-1, 1), output_hidden_states=True)
    return (out.image_embeds if kind == "base" else out.hidden_states[-2]).double().numpy()


def close_look(encoders, kind, large, count):
    """Tiles cut by hand, each encoded alone, patches averaged where they lie in the image."""
    size = large.shape[1] // count
    seen = {
        (row, column): theirs_of(
            encoders, kind, large[:, row * size : row * size + size, column * size : column * size + size]
        )
        for row, column in np.ndindex(count, count)
    }
    if kind == "base":
        return sum(seen.values()) / count**2
    side = round((seen[0, 0].shape[1] - 1) ** 0.5)
    out = np.zeros_like(seen[0, 0])
    out[:, 0] = sum(tile[:, 0] for tile in seen.values()) / count**2
    for y, x in np.ndindex(count * side, count * side):
        patch = seen[y // side, x // side][:, 1 + (y % side) * side + x % side]
        out[:, 1 + (y // count) * side + x // count] += patch / count**2
    return out


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", ["base", "plus"])
def test_catalogue_detail_is_the_mean_of_what_lies_there_in_the_tiles(encoders, kind, count):
    """Mixed with the whole image by its share, for images that are not square."""
    given, ours = picture(200, 150, batch=2), encoders[0]
    prompt, seen = encode_references(spec_for(kind), ours, given, EncodeOptions(detail=Detail(count, 0.3)))
    assert seen.shape[1:3] == (count * ours.image_size,) * 2
    whole = theirs_of(encoders, kind, pixels_for(ours, given, Preprocessing(ResizeMode.CENTER, None)))
    expected = torch.from_numpy(0.7 * whole + 0.3 * close_look(encoders, kind, seen, count))
    got = torch.cat([reference.image.features for reference in prompt.references])
    assert relative(got - expected, expected) < 5e-6
    assert f"0.3 from {count} x {count} tiles" in prompt.made_from and "2 images of 150 x 200" in prompt.made_from


def test_catalogue_no_detail_is_the_plain_look(encoders):
    """With share 0, or one tile, to the bit."""
    given, spec = picture(90, 120), spec_for("plus")
    plain, _ = encode_references(spec, encoders[0], given, EncodeOptions())
    for detail in (Detail(3, 0.0), Detail(1, 1.0)):
        prompt, seen = encode_references(spec, encoders[0], given, EncodeOptions(detail=detail))
        assert torch.equal(prompt.references[0].image.features, plain.references[0].image.features)
        assert seen.shape[1] == encoders[0].image_size


def test_catalogue_a_mask_is_seen_as_closely_as_the_picture(encoders):
    """What is masked is neutral in the tiles, too, and a negative image is looked at as closely, without the mask."""
    given, other = picture(112, 112), picture(112, 112, seed=1)
    mask = torch.ones(1, 112, 112)
    mask[:, :, :56] = 0
    look = EncodeOptions(mask=mask, detail=Detail(2, 1.0))
    prompt, seen = encode_references(spec_for("plus"), encoders[0], given, look, other)
    neutral = (torch.tensor(encoders[0].image_mean) * 255).round() / 255
    edge = seen.shape[1] // 2 - 4
    assert torch.equal(seen[0, :, :edge], neutral.expand(seen.shape[1], edge, 3))
    against, _ = encode_references(spec_for("plus"), encoders[0], other, look._replace(mask=None))
    assert torch.equal(prompt.references[0].image.negative, against.references[0].image.features)


def test_catalogue_sharpening_is_done_on_the_pixels_that_are_seen(encoders):
    """After the fit, before the mask."""
    ours, given = encoders[0], picture(100, 100)
    _, soft = encode_references(spec_for("base"), ours, given, EncodeOptions())
    _, sharp = encode_references(spec_for("base"), ours, given, EncodeOptions(sharpening=0.8))
    expected = sharpen(soft.movedim(-1, 1), 0.8).movedim(1, -1)
    assert (sharp - expected).abs().max() < 2.5 / 255 and (sharp - soft).abs().max() > 0.05


@pytest.mark.parametrize("size", [(60, 150), (96, 100), (150, 60)], ids=str)
def test_catalogue_tiles_are_references_in_their_places(encoders, size):
    """Each tile has the features of that part of the image and acts there; the same tile of two images acts together."""
    ours, spec, given = encoders[0], spec_for("plus"), picture(*size, batch=2)
    made = encode_tiles(spec, ours, given, EncodeOptions())
    rows, columns = {(60, 150): (1, 3), (96, 100): (2, 2), (150, 60): (3, 1)}[size]
    side = {(60, 150): 60, (96, 100): 50, (150, 60): 60}[size]
    assert len(made.prompt.references) == 2 * rows * columns == len(made.tiles) and len(made.masks) == rows * columns
    assert (made.masks.sum(dim=0) - 1).abs().max() < 1e-6
    for tile, (row, column) in enumerate(np.ndindex(rows, columns)):
        top, left = (
            index * (length - side) // max(count - 1, 1)
            for index, length, count in ((row, size[0], rows), (column, size[1], columns))
        )
        alone, _ = encode_references(spec, ours, given[:, top : top + side, left : left + side], EncodeOptions())
        pair = made.prompt.references[2 * tile : 2 * tile + 2]
        for one, other in zip(pair, alone.references, strict=True):
            assert relative(one.image.features - other.image.features, other.image.features) < 5e-6
        assert pair[0].mask is pair[1].mask and torch.equal(pair[0].mask.values[0], made.masks[tile])


def test_catalogue_tiles_take_their_part_of_the_mask(encoders):
    """A mask of another size, for the first image and all that follow."""
    mask = torch.ones(1, 30, 75)
    mask[:, :, :25] = 0
    made = encode_tiles(spec_for("plus"), encoders[0], picture(60, 150, batch=2), EncodeOptions(mask=mask))
    neutral = (torch.tensor(encoders[0].image_mean) * 255).round() / 255
    hidden = (made.tiles - neutral).abs().amax(dim=-1) == 0
    assert hidden[:2, :, :-16].all() and not hidden[:2, :, -2:].any() and not hidden[4:].any()
