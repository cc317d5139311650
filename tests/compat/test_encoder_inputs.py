"""What old nodes make of images and masks, against statements of what they made of them."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.compat.encode import encode_embeds, encode_request
from pack.ipadapter_core.compat.encoder_inputs import old_features, old_tile_features
from pack.ipadapter_core.compat.frames import Strategy, frames_of, schedule_of_prompts
from pack.ipadapter_core.compat.pipeline import Pipeline, pipeline_of
from pack.ipadapter_core.compat.prepare_image import Crop, noise_picture, prepared
from pack.ipadapter_core.compat.request import Request
from pack.ipadapter_core.compat.stretched_mask import stretched_mask
from pack.ipadapter_core.compat.tiles import old_tiles_of, tiles_of
from pack.ipadapter_core.compat.weight_types import Results
from pack.ipadapter_core.encoders.face.geometry import TEMPLATE
from pack.ipadapter_core.encoders.features import FeatureRequest
from pack.ipadapter_core.errors import FaceAnalysisError, IPAdapterError
from pack.ipadapter_core.images.noise import Noise
from pack.ipadapter_core.masks.canvas_mask import canvas_mask, token_weights
from pack.ipadapter_core.masks.token_grid import CANVAS
from pack.ipadapter_core.prompt.image_prompt import EncodedImage
from pack.ipadapter_core.sampling.batch_layout import BatchLayout
from pack.ipadapter_core.sampling.polarity import PolarityRule
from pack.tests.oracles.weight_types import combined
from pack.tools.miniature.faces import tiny_encoder, weights_of
from pack.tools.miniature.models import adapter_weights, managed

pytestmark = pytest.mark.catalogue

AS_PLUS = Results.AS_PLUS


def rand(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear without antialiasing, pixel centres aligned at the edges of the image."""
    out = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y, x = (row + 0.5) * mask.shape[0] / height - 0.5, (column + 0.5) * mask.shape[1] / width - 0.5
            y, x = max(y, 0.0), max(x, 0.0)
            top, left = min(int(y), mask.shape[0] - 1), min(int(x), mask.shape[1] - 1)
            down, right = min(top + 1, mask.shape[0] - 1), min(left + 1, mask.shape[1] - 1)
            dy, dx = y - top, x - left
            out[row, column] = (
                mask[top, left] * (1 - dy) * (1 - dx) + mask[top, right] * (1 - dy) * dx
                + mask[down, left] * dy * (1 - dx) + mask[down, right] * dy * dx
            )  # fmt: skip
    return out


@pytest.mark.parametrize(
    ("latent", "grid"), [((64, 64), (32, 32)), ((45, 128), (12, 32)), ((17, 23), (9, 12)), ((13, 40), (7, 20))]
)
def test_catalogue_old_masks_are_guessed_and_stretched(latent, grid):
    """Height from the aspect, one more where that does not divide the tokens."""
    mask = rand(1, 30, 50)
    found = stretched_mask(mask).token_weights(grid, latent)[0, :, 0].double().numpy()
    tokens = grid[0] * grid[1]
    height = int(latent[0] / math.sqrt(latent[0] * latent[1] / tokens))
    height += 1 if tokens % height else 0
    width = tokens // height
    values = by_hand(mask[0].double().numpy(), height, width).ravel()
    before = (tokens - len(values)) // 2
    expected = np.zeros(tokens)
    expected[before : before + len(values)] = values
    assert np.allclose(found, expected, atol=1e-6)


def test_catalogue_old_masks_differ_where_they_sheared():
    """1024 x 360: a layer of 12 x 32 tokens was treated as one of 11."""
    mask = torch.zeros(1, 45, 128)
    mask[:, 22:] = 1
    sheared = stretched_mask(mask).token_weights((12, 32), (45, 128)).view(-1)
    exact = Request(attn_mask=mask).mask
    assert exact is mask and Request(attn_mask=mask, results=AS_PLUS).mask.values.shape == mask.shape
    assert (sheared - token_weights(canvas_mask(mask), (12, 32), (45, 128)).view(-1)).abs().max() > 0.3


@pytest.fixture(scope="module")
def plus():
    """An adapter that reads hidden states, and an encoder of 56 pixels that makes them."""
    encoder = tiny_encoder(width=64, size=56, projection=64)
    return Pipeline(managed(adapter_weights("plus", [64, 64], 96)), encoder)


@pytest.fixture(scope="module")
def base(plus):
    return Pipeline(managed(adapter_weights("base", [64, 64], 96)), plus.encoder)


def hidden(encoder, normal):
    with torch.inference_mode():
        return encoder.model(pixel_values=normal, intermediate_output=-2)


def normalised(encoder, picture):
    """Centre crop of an image that is as high as wide already, resized and rounded as ComfyUI does."""
    from comfy.clip_vision import clip_preprocess

    return clip_preprocess(picture, size=encoder.image_size, mean=encoder.image_mean, std=encoder.image_std)


def test_catalogue_old_negative_is_a_black_picture(plus, base):
    """And the corrected one is that of the training; for pooled features both are zero."""
    picture = rand(1, 60, 80, 3)
    black = hidden(plus.encoder, normalised(plus.encoder, torch.zeros(1, 56, 56, 3)))[1]
    nothing = hidden(plus.encoder, torch.zeros(1, 3, 56, 56))[1]
    old, new = (
        encode_request(plus, Request(image=picture, results=kind)).prompt for kind in (AS_PLUS, Results.CORRECTED)
    )
    assert torch.allclose(old.references[0].image.negative, black, atol=1e-5)
    assert torch.allclose(new.references[0].image.negative, nothing, atol=1e-5)
    assert not torch.allclose(black, nothing, atol=1e-2)
    pooled = encode_request(base, Request(image=picture, results=AS_PLUS)).prompt.references[0].image
    assert not pooled.negative.any()
    assert torch.allclose(pooled.features, hidden(plus.encoder, normalised(plus.encoder, picture))[2], atol=1e-5)


def test_catalogue_old_encoder_mask_multiplies_normal_pixels(plus):
    """A soft mask; the pixels are not rounded after it."""
    picture, mask = rand(1, 56, 56, 3), rand(1, 56, 56, seed=2)
    wanted = FeatureRequest(Feature.HIDDEN, 64, plus.adapter.spec)
    expected = hidden(plus.encoder, normalised(plus.encoder, picture) * mask)[1]
    assert torch.allclose(old_features(wanted, plus.encoder, picture, mask), expected, atol=1e-5)


def test_catalogue_embeds_carry_both_results(plus):
    """The weight multiplies the embeds, not the negative."""
    picture = rand(1, 56, 56, 3)
    positive, negative = encode_embeds(plus, picture, 0.5, None, None)
    whole, _ = encode_embeds(plus, picture, 1.0, None, None)
    assert torch.allclose(positive.corrected, 0.5 * whole.corrected) and torch.allclose(
        positive.as_plus, 0.5 * whole.as_plus
    )
    assert torch.allclose(positive.corrected, positive.as_plus, atol=1e-5)
    assert not torch.allclose(negative.corrected, negative.as_plus, atol=1e-2)


def test_catalogue_old_tiles_of_features(plus, base):
    """Patches averaged in place; pooled vectors once were read as squares of numbers."""
    picture = rand(1, 112, 112, 3)
    quarters = [
        picture[:, 56 * row : 56 * row + 56, 56 * column : 56 * column + 56] for row in (0, 1) for column in (0, 1)
    ]
    parts = [hidden(plus.encoder, normalised(plus.encoder, quarter)) for quarter in quarters]
    found = old_tile_features(FeatureRequest(Feature.HIDDEN, 64, plus.adapter.spec), plus.encoder, picture, 2)
    grid = torch.stack([part[1][0, 1:].view(4, 4, -1) for part in parts])
    large = torch.cat([torch.cat(list(grid[row : row + 2]), dim=1) for row in (0, 2)])
    pooled = large.view(4, 2, 4, 2, -1).mean(dim=(1, 3)).flatten(0, 1)
    assert torch.allclose(found[0, 1:], pooled, atol=1e-5)
    assert torch.allclose(found[0, 0], torch.stack([part[1][0, 0] for part in parts]).mean(0), atol=1e-5)
    vectors = torch.stack([part[2][0].view(8, 8) for part in parts])
    square = torch.cat([torch.cat(list(vectors[row : row + 2]), dim=1) for row in (0, 2)])
    expected = square.view(8, 2, 8, 2).mean(dim=(1, 3)).flatten()
    assert torch.allclose(
        old_tile_features(FeatureRequest(Feature.POOLED, 64, base.adapter.spec), base.encoder, picture, 2)[0],
        expected,
        atol=1e-5,
    )


def test_catalogue_enhanced_requests(plus):
    """A lone image becomes two references, several are mixed with their tiles."""
    one, two = rand(1, 112, 112, 3), rand(2, 112, 112, 3)
    wanted = FeatureRequest(Feature.HIDDEN, 64, plus.adapter.spec)
    found = encode_request(plus, Request(image=one, enhance_tiles=2, enhance_ratio=0.6, results=AS_PLUS)).prompt
    assert len(found.references) == 2
    assert torch.allclose(found.references[0].image.features, 0.6 * old_features(wanted, plus.encoder, one), atol=1e-5)
    assert torch.allclose(
        found.references[1].image.features, old_tile_features(wanted, plus.encoder, one, 2), atol=1e-5
    )
    mixed = encode_request(plus, Request(image=two, enhance_tiles=2, enhance_ratio=0.6, results=AS_PLUS)).prompt
    expected = 0.6 * old_features(wanted, plus.encoder, two) + 0.4 * old_tile_features(wanted, plus.encoder, two, 2)
    assert torch.allclose(torch.cat([reference.image.features for reference in mixed.references]), expected, atol=1e-5)


@pytest.mark.parametrize(("size", "count", "shape"), [
    ((300, 280), 4, (512, 512)), ((100, 270), 3, (256, 691)), ((600, 100), 4, (1024, 256)), ((100, 150), 2, (256, 384)),
])  # fmt: skip
def test_catalogue_old_tiles(size, count, shape):
    """256 pixels each, at most four in a row; a mask's share is where the tile is."""
    tiles = old_tiles_of(rand(1, *size, 3), None, 0.0)
    assert len(tiles) == count and all(tile.picture.shape == (1, 256, 256, 3) for tile in tiles)
    assert all(tile.shown.shape == (1, *shape) for tile in tiles)
    assert (torch.stack([tile.shown for tile in tiles]).amax(0) > 0.99).all()


def test_catalogue_corrected_tiles_add_up_to_the_mask():
    """Whatever the mask."""
    mask = rand(1, 40, 60, seed=3)
    tiles = tiles_of(rand(1, 100, 270, 3), mask, 0.0)
    total = sum(token_weights(tile.mask, (8, 20), (64, 160)) for tile in tiles)
    assert torch.allclose(total, token_weights(canvas_mask(mask), (8, 20), (64, 160)), atol=1e-6)


def test_catalogue_prepared_pictures():
    """Cropped to one side or padded with black, 224 pixels, eight bits."""
    picture = torch.zeros(1, 100, 60, 3)
    picture[:, :40] = 1.0
    assert prepared(picture, "NEAREST", Crop.TOP, 0.0).mean() > 0.6
    assert prepared(picture, "NEAREST", Crop.BOTTOM, 0.0).max() == 0
    padded = prepared(picture, "NEAREST", Crop.PAD, 0.0)
    assert padded.shape == (1, 224, 224, 3) and padded[0, 10, 10].max() == 0 and padded[0, 10, 112].min() == 1
    assert torch.equal(
        prepared(picture, "LANCZOS", Crop.CENTER, 0.0) * 255,
        (prepared(picture, "LANCZOS", Crop.CENTER, 0.0) * 255).round(),
    )


def test_catalogue_noise_follows_from_the_picture():
    """The seed is the sum of its values, drawn channel by channel."""
    picture = rand(1, 224, 224, 3)
    generator = torch.Generator().manual_seed(int(picture.sum().item()) % 1_000_000_007)
    expected = picture * 0.3 + torch.rand((1, 3, 224, 224), generator=generator).movedim(1, -1) * 0.7
    torch.rand(5)
    assert torch.allclose(noise_picture(Noise.FADE, 0.7, 0, picture), expected, atol=1e-6)
    generator = torch.Generator().manual_seed(0)
    black = (torch.randn((1, 224, 224, 3), generator=generator) * 0.5).clamp(0, 1)
    assert torch.allclose(noise_picture(Noise.GAUSSIAN, 0.5, 0, None), black, atol=1e-6)


def test_catalogue_old_frames():
    """Images 0, 1, 2 by each method; alternating weights are mirrored in their own range, the inverse is the reversed row."""
    pictures = torch.arange(3.0).view(3, 1, 1, 1)
    row = {"weights": "1.0, 0.2", "frames": 3, "add_starting_frames": 1, "add_ending_frames": 1}
    full = frames_of(Strategy(**row, method="full batch"), pictures)
    assert full.first.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2] and full.second is None
    shift = frames_of(Strategy(**row, method="shift batches"), pictures)
    assert shift.first.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 2]
    assert shift.second.flatten().tolist() == [0, 1, 1, 1, 2, 2, 2, 2]
    assert shift.weights == pytest.approx([1, 1, 0.6, 0.2, 1, 0.6, 0.2, 0.2]) and shift.backwards == shift.weights[::-1]
    turn = frames_of(Strategy(**row, method="alternate batches"), pictures)
    assert turn.first.flatten().tolist() == [0, 0, 0, 0, 2, 2, 2, 2] and turn.second.flatten().tolist() == [
        0,
        1,
        1,
        1,
        1,
        1,
        1,
        2,
    ]
    assert turn.weights == pytest.approx([1, 1, 0.6, 0.2, 0.2, 0.6, 1, 1])
    words = schedule_of_prompts(Strategy(**row).of(pictures), "a cat\n\na dog")
    assert words == '"0": "a cat",\n"1": "a cat",\n"4": "a dog",\n"7": "a dog",\n"10": "a dog",\n'


def test_catalogue_pipelines_of_the_old_pack_are_understood(base):
    """Raw weights, and the dictionaries of its loaders."""
    weights = adapter_weights("base", [64, 64], 96)
    nested = {
        part: {key[len(part) + 1 :]: one for key, one in weights.items() if key.startswith(part)}
        for part in ("image_proj", "ip_adapter")
    }
    assert pipeline_of(nested).adapter.spec.projector == base.adapter.spec.projector
    whole = {
        "ipadapter": {"file": "x", "model": nested | {"faceidplusv2": True}},
        "clipvision": {"file": "y", "model": base.encoder},
    }
    found = pipeline_of(whole)
    assert found.encoder is base.encoder and found.analysis is None and "v2" in found.adapter.spec.file
    with pytest.raises(IPAdapterError, match="found int.*IPAdapter Unified Loader"):
        pipeline_of(3)


def test_catalogue_kolors_weight_multiplies_the_text_projection():
    """Keys and values of tokens that passed a scaled linear layer, its bias scaled, too."""
    adapter = managed(adapter_weights("base", [64, 64], 96), torch.float64)
    projection = torch.nn.Linear(96, 96, dtype=torch.float64)
    scaled = torch.nn.Linear(96, 96, dtype=torch.float64)
    with torch.no_grad():
        scaled.weight.copy_(projection.weight * 1.7)
        scaled.bias.copy_(projection.bias * 1.7)
    image = EncodedImage(torch.randn(1, 64).double(), torch.randn(1, 64).double())
    found, expected = replace(adapter, gain=1.7).bank(image, projection), adapter.bank(image, scaled)
    for one, other in zip((*found.keys, *found.values), (*expected.keys, *expected.values), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(("sides", "expected"), [(PolarityRule.BY_ROLE, (0, 1, 1)), (PolarityRule.BY_INDEX, (1, 0, 1))])
def test_catalogue_sides_of_three_prompts(sides, expected):
    """DualCFG hands over negative, middle, positive."""
    rows = BatchLayout((0, 1, 1), (0,), (CANVAS,) * 3, (8, 8), (0, 1, 2))
    assert rows.under(sides).polarities == expected
    assert Request(results=AS_PLUS).strength.polarity_rule is PolarityRule.BY_INDEX
    assert Request().strength.polarity_rule is PolarityRule.BY_ROLE


class Faces:
    """An INSIGHTFACE object: dark images show nobody, others somebody, as far as their first pixel says."""

    def __init__(self):
        self.det_model = SimpleNamespace(input_size=(640, 640))

    def get(self, picture):
        number = int(picture[0, 0, 0])
        embedding = np.zeros(512, np.float32)
        embedding[number] = 4.0
        box = np.array([20.0, 20.0, 90.0, 90.0])
        face = SimpleNamespace(bbox=box, kps=TEMPLATE.numpy() * 0.6 + 15, det_score=0.9, embedding=embedding,
                               normed_embedding=embedding / 4)  # fmt: skip
        return [face] if number else []


def people(*numbers):
    pictures = torch.full((len(numbers), 120, 120, 3), 0.5)
    for place, number in enumerate(numbers):
        pictures[place, 0, 0] = number / 255
    return pictures


@pytest.fixture(scope="module")
def face_plus(plus):
    weights = weights_of("FaceID Plus", [64, 64], 96)
    return Pipeline(managed(weights), plus.encoder, Faces())


def test_catalogue_faces_as_they_were_and_corrected(face_plus):
    """A black image in the negative, an error for a missing face; or the training's negative, and the face passed over."""
    encoder = face_plus.encoder
    pictures = people(3, 0, 5)
    with pytest.raises(FaceAnalysisError, match="no face in 1 of 3"):
        encode_request(face_plus, Request(image=pictures, results=AS_PLUS))
    found = encode_request(face_plus, Request(image=pictures))
    assert len(found.prompt.references) == 2 and found.faces.shape == (2, 224, 224, 3)
    batch = encode_request(face_plus, Request(image=pictures, unfold=True)).prompt
    assert [reference.weight for reference in batch.references] == [1, 0, 1]
    with pytest.raises(FaceAnalysisError, match="no face in any of 2"):
        encode_request(face_plus, Request(image=people(0, 0)))
    black = hidden(encoder, normalised(encoder, torch.zeros(1, 56, 56, 3)))[1]
    nothing = hidden(encoder, torch.zeros(1, 3, 56, 56))[1]
    old = encode_request(face_plus, Request(image=people(3, 5), results=AS_PLUS)).prompt.references[0].image
    new = found.prompt.references[0].image
    assert torch.allclose(old.negative[1], black, atol=1e-5) and torch.allclose(new.negative[1], nothing, atol=1e-5)
    assert not old.negative[0].any() and not new.negative[0].any()


@pytest.mark.parametrize("results", Results)
@pytest.mark.parametrize("method", ["average", "add", "subtract", "norm average"])
def test_catalogue_faces_combined(face_plus, method, results):
    """Identity and look each by the formula, how they are blended as it was."""
    pictures = people(3, 5, 9)
    apart = encode_request(face_plus, Request(image=pictures, weight_faceidv2=1.5, results=results)).prompt
    whole = encode_request(
        face_plus, Request(image=pictures, weight_faceidv2=1.5, combine_embeds=method, results=results)
    ).prompt
    (reference,) = whole.references
    for part in (0, 1):
        rows = torch.cat([one.image.features[part] for one in apart.references]).double()
        flat = rows if part == 0 or method != "norm average" or results is AS_PLUS else rows.transpose(0, 1)
        if flat is rows:
            expected = combined(method, results.value, rows)
        else:
            expected = torch.cat([combined(method, results.value, token) for token in flat]).unsqueeze(0)
        found = reference.image.features[part].double()
        finite = expected.isfinite()
        assert torch.allclose(found[finite], expected[finite], atol=1e-5)
    assert torch.equal(reference.image.features[2], apart.references[0].image.features[2])
