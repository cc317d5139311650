"""The ids of September 2023 to March 2024: they are there, and mean what they meant."""

import asyncio
import inspect
from types import SimpleNamespace

import execution
import pytest
import torch
from pack.ipadapter_core.compat.encode import encode_request
from pack.ipadapter_core.compat.first_release import noisy, tiles_of
from pack.ipadapter_core.compat.pipeline import AdapterModel, Pipeline
from pack.ipadapter_core.compat.request import Request
from pack.ipadapter_core.encoders.face.encode import PlusVersion
from pack.ipadapter_core.errors import ImagePromptError
from pack.nodes.compat import OLD_NODES
from pack.nodes.folders import register_folders
from pack.tests.oracles.ipadapter_plus_first_nodes import FIRST_NODES
from pack.tests.oracles.recorded_passes import WIDTH, noise, sample, short_model
from pack.tools.miniature.faces import PICTURE, tiny_encoder, weights_of
from pack.tools.miniature.models import adapter_weights, managed, widths_of

pytestmark = pytest.mark.catalogue
register_folders()
REGISTRY = {node.GET_SCHEMA().node_id: node for node in OLD_NODES}
WINDOW = {"start_at": 0.0, "end_at": 1.0}


@pytest.fixture(scope="module")
def world():
    model, encoder = short_model(), tiny_encoder()
    widths = widths_of(model)
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    base, plus = (
        managed(adapter_weights(kind, widths, WIDTH, feature=size)) for kind, size in (("base", 32), ("plus", PICTURE))
    )
    return SimpleNamespace(model=model, widths=widths, base=base, plus=plus, encoder=encoder, image=image)


def run(node_id, **inputs):
    """The first output as ComfyUI's executor computes it."""
    given = {name: [value] for name, value in inputs.items()}
    outputs, *_ = asyncio.run(execution.get_output_data("prompt", "1", REGISTRY[node_id](), given, v3_data={}))
    return outputs[0][0]


def result(model, **more):
    return sample(model, steps=1, **more)


@pytest.mark.parametrize("node_id", FIRST_NODES)
def test_catalogue_first_nodes_are_what_the_table_says(node_id):
    """Inputs in the order that saved widget values count by; marked as deprecated."""
    method, inputs, outputs = FIRST_NODES[node_id]
    node = REGISTRY[node_id]
    info = node.GET_NODE_INFO_V1()
    assert info["deprecated"] is True and method == node.FUNCTION and outputs == node.RETURN_TYPES
    declared = info["input"]["required"] | info["input"].get("optional", {})
    assert list(declared) == [name for name, *_ in inputs]
    for name, kind, default in inputs:
        found, options = declared[name]
        assert (options["options"] if isinstance(kind, list) else found) == kind
        assert options.get("default") == default
    assert callable(getattr(node(), method)) and inspect.ismethod(getattr(node, method))


WEIGHT_TYPES = {"original": "V only", "linear": "K+V", "channel penalty": "K+mean(V) w/ C penalty"}


@pytest.mark.parametrize("kind", WEIGHT_TYPES)
def test_catalogue_first_weight_types_are_scalings(world, kind):
    """What the weight multiplied then has another name now."""
    shared = {"model": world.model, "image": world.image, "clip_vision": world.encoder, "weight": 0.6, **WINDOW}
    adapter = AdapterModel(world.base)
    old = run("IPAdapterApply", **shared, ipadapter=adapter, weight_type=kind, noise=0.0, unfold_batch=False)
    new = run("IPAdapterAdvanced", **shared, ipadapter=adapter, weight_type="linear", embeds_scaling=WEIGHT_TYPES[kind])
    assert torch.equal(result(old), result(new))
    others = [
        run("IPAdapterAdvanced", **shared, ipadapter=adapter, weight_type="linear", embeds_scaling=one)
        for word, one in WEIGHT_TYPES.items() if word != kind
    ]  # fmt: skip
    assert all(not torch.equal(result(old), result(other)) for other in others)


def test_catalogue_first_apply_by_method_and_order(world):
    """Positional as it was: the adapter first. The September prompt has no weight type."""
    (by_order,) = REGISTRY["IPAdapterApply"]().apply_ipadapter(
        AdapterModel(world.base), world.model, 0.6, world.encoder, world.image, "original", 0.0
    )
    september = run(
        "IPAdapterApply", ipadapter=AdapterModel(world.base), clip_vision=world.encoder, image=world.image,
        model=world.model, weight=0.6, noise=0.0,
    )  # fmt: skip
    assert torch.equal(result(by_order), result(september))


def test_catalogue_first_unfold_batch_is_one_reference_each(world):
    images = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(3))
    shared = {"ipadapter": AdapterModel(world.base), "clip_vision": world.encoder, "model": world.model, "weight": 0.8,
              "noise": 0.0, "weight_type": "original", **WINDOW}  # fmt: skip
    start = noise(2)
    apart = result(run("IPAdapterApply", **shared, image=images, unfold_batch=True), latent=start)
    for place in (0, 1):
        lone = result(
            run("IPAdapterApply", **shared, image=images[place : place + 1], unfold_batch=False), latent=start
        )
        assert torch.allclose(apart[place], lone[place], rtol=1e-4, atol=1e-3)
    together = result(run("IPAdapterApply", **shared, image=images, unfold_batch=False), latent=start)
    assert not torch.allclose(apart, together, rtol=1e-4, atol=1e-3)


def test_catalogue_first_noise_becomes_the_negative(world):
    """The reference, warped and turned, with 0.25 (1 - noise) + 0.05 of normal noise."""
    shared = {"ipadapter": AdapterModel(world.base), "clip_vision": world.encoder, "model": world.model, "weight": 0.8,
              "image": world.image, "weight_type": "original", **WINDOW, "unfold_batch": False}  # fmt: skip
    plain, noised = (result(run("IPAdapterApply", **shared, noise=strength)) for strength in (0.0, 0.5))
    assert not torch.equal(plain, noised)
    grey = torch.full((1, 300, 300, 3), 0.5)
    for strength in (0.2, 0.8):
        made = noisy(grey, strength)
        assert made.shape == (1, 224, 224, 3)
        inside = made[:, 90:134, 90:134]
        assert inside.std().item() == pytest.approx(0.25 * (1 - strength) + 0.05, rel=0.1)
    assert torch.equal(noisy(grey, 0.3), noisy(grey, 0.3))


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        ((224, 224), 1, [(0, 0)]),
        ((100, 250), 1, [(0, 0), (0, 224), (0, 336)]),
        ((100, 220), 1, [(0, 22), (0, 246)]),
        ((300, 300), 2, [(0, 0), (0, 0), (0, 224), (224, 0), (224, 224)]),
    ],
)  # fmt: skip
def test_catalogue_first_tiles_lie_where_they_lay(size, count, expected):
    """Rows of tiles of 224 pixels; a rest of a quarter tile is one more, less is cut off evenly; large ones come first."""
    tiles = tiles_of(torch.rand(2, *size, 3), count, 0.6)
    found = []
    for tile in tiles:
        assert tile.image.shape == (1, 224, 224, 3)
        _, rows, columns = torch.nonzero(tile.mask, as_tuple=True)
        found.append((rows.min().item(), columns.min().item()))
    assert found == expected
    weights = [tile.mask.max().item() for tile in tiles]
    several = count > 1
    assert weights == pytest.approx([1.0] + [0.6] * (len(tiles) - 1) if several else [1.0] * len(tiles))
    if several:
        assert tiles[0].mask.mean() == 1.0


def test_catalogue_first_tiles_act(world):
    """With none, the whole image acts."""
    shared = {"ipadapter": AdapterModel(world.base), "clip_vision": world.encoder, "model": world.model, "weight": 0.8,
              "image": world.image, "weight_type": "original", **WINDOW, "noise": 0.0}  # fmt: skip
    whole = result(run("IPAdapterApply", **shared, unfold_batch=False))
    none = result(run("IPAdapterTilesMasked", **shared, short_side_tiles=0, tile_weight=0.6))
    tiled = result(run("IPAdapterTilesMasked", **shared, short_side_tiles=2, tile_weight=0.6))
    assert torch.equal(none, whole) and not torch.equal(tiled, whole)


@pytest.mark.parametrize("kind", ["base", "plus"])
def test_catalogue_first_embeds_hold_their_negative(world, kind):
    """Encoder, Batch Embeds and Apply from Encoded of that time give what today's nodes give for the same images.

    The weight of an image counts twice.
    """
    images = [torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4)]
    plus = kind == "plus"
    old = {"clip_vision": world.encoder, "ipadapter_plus": plus, "noise": 0.0, "weight_1": 1.0}
    pairs = [run("IPAdapterEncoder", **old, image_1=image) for image in images]
    assert pairs[0].shape[0] == 2 and pairs[0].shape[1] == 1
    both = run("IPAdapterBatchEmbeds", embed1=pairs[0], embed2=pairs[1])
    at_once = run("IPAdapterEncoder", **old, image_1=images[0], image_2=images[1], weight_2=1.0)
    assert torch.allclose(both, at_once, atol=1e-5)
    half = run("IPAdapterEncoder", **old | {"weight_1": 0.5}, image_1=images[0])
    assert torch.allclose(half[0], pairs[0][0] * 0.25, atol=1e-6) and torch.equal(half[1], pairs[0][1])
    adapter = AdapterModel(getattr(world, kind))
    values = {"weight": 0.8, "weight_type": "original", **WINDOW, "unfold_batch": False}
    applied = run("IPAdapterApplyEncoded", ipadapter=adapter, embeds=both, model=world.model, **values)
    expected = run(
        "IPAdapterAdvanced", model=world.model, ipadapter=adapter, image=torch.cat(images), weight=0.8, weight_type="linear",
        clip_vision=world.encoder, results="as IPAdapter_plus" if plus else "corrected",
    )  # fmt: skip
    if not plus:
        found, wanted, bare = result(applied), result(expected), result(world.model)
        assert torch.linalg.norm(found - wanted) < 1e-4 * torch.linalg.norm(wanted - bare)
    assert not torch.equal(result(applied), result(world.model))


def test_catalogue_first_nodes_take_todays_embeds(world):
    pipeline = Pipeline(world.base, world.encoder).as_dict()
    positive, _ = REGISTRY["IPAdapterEncoder"]().encode(pipeline, world.image, 1.0)
    (joined,) = REGISTRY["IPAdapterBatchEmbeds"]().batch(positive, positive)
    assert joined.shape == (2, 32) and joined.kind is positive.kind
    (applied,) = REGISTRY["IPAdapterApplyEncoded"]().apply_ipadapter(pipeline, world.model, 0.8, embeds=joined)
    assert not torch.equal(result(applied), result(world.model))
    with pytest.raises(ImagePromptError, match="expected embeds and their negative"):
        REGISTRY["IPAdapterApplyEncoded"]().apply_ipadapter(pipeline, world.model, 0.8, embeds=torch.zeros(1, 32))
    with pytest.raises(ImagePromptError, match="found neither ipadapter with image"):
        REGISTRY["IPAdapterEncoder"]().encode()


class Faces:
    """An analysis that finds one face in every image."""

    det_model = SimpleNamespace(input_size=(640, 640))

    def get(self, picture):
        import numpy as np
        from pack.ipadapter_core.encoders.face.geometry import TEMPLATE

        embedding = np.zeros(512, np.float32)
        embedding[3] = 4.0
        return [SimpleNamespace(bbox=np.array([20.0, 20.0, 60.0, 60.0]), kps=TEMPLATE.numpy() * 0.4 + 10, det_score=0.9,
                                embedding=embedding, normed_embedding=embedding / 4)]  # fmt: skip


def test_catalogue_first_faceid_says_its_version(world):
    """`faceid_v2` decides, not the file's name; `weight_v2` is how much of the look."""
    weights = weights_of("FaceID Plus", world.widths, WIDTH)
    pipeline = Pipeline(managed(weights), world.encoder, Faces())
    blends = {
        version: encode_request(pipeline, Request(image=world.image, plus_version=version, weight_faceidv2=1.7)).prompt
        for version in (PlusVersion.V1, PlusVersion.V2)
    }
    first, second = (blends[one].references[0].image.features[2].tolist() for one in (PlusVersion.V1, PlusVersion.V2))
    assert first == [[0.0, 1.0]] and second[0] == pytest.approx([1.0, 1.7])
    shared = {"ipadapter": AdapterModel(pipeline.adapter), "clip_vision": world.encoder, "insightface": Faces(),
              "image": world.image, "model": world.model, "weight": 0.8, "weight_type": "original", **WINDOW,
              "unfold_batch": False}  # fmt: skip
    rows = ((0.0, False, 1.0), (0.0, False, 1.7), (0.0, True, 1.0), (0.0, True, 1.7), (0.5, True, 1.7))
    results = [
        result(run("IPAdapterApplyFaceID", **shared, noise=strength, faceid_v2=second, weight_v2=look))
        for strength, second, look in rows
    ]
    assert torch.equal(results[0], results[1])
    assert all(not torch.equal(one, other) for one, other in zip(results[1:], results[2:], strict=False))


def test_catalogue_first_images_for_faces_have_a_border():
    """580 pixels and 30 of white on each side, or 640."""
    image = torch.full((1, 100, 200, 3), 0.25)
    bordered = run("PrepImageForInsightFace", image=image, crop_position="top", sharpening=0.0, pad_around=True)
    assert bordered.shape == (1, 640, 640, 3)
    assert bordered[0, :30].min() == 1.0 and bordered[0, 30:-30, 30:-30].max() < 0.3
    plain = run("PrepImageForInsightFace", image=image, crop_position="top", sharpening=0.0, pad_around=False)
    assert plain.shape == (1, 640, 640, 3) and plain.max() < 0.3
