"""The catalogue's native nodes in a real server, on the demo world: each image is looked at for what its node promises."""

import pytest
import torch
from pack.ipadapter_core.images.noise import Noise, add_noise, blurred
from pack.tests.oracles.demo_workflow import BLUE, RED, Bench, half_masks, nearer
from pack.tools.comfyui.client import GraphError

pytestmark = pytest.mark.catalogue


@pytest.fixture
def bench(client):
    return Bench(client)


def test_catalogue_noise_in_a_graph(bench):
    """What the node shows is the formula on the image; as a negative it changes the result; the seed decides."""
    reference = bench.drawn("red", object_colour="yellow", background_texture="striped")[0]
    source = bench.shown(reference)
    noisy = [
        bench.graph.add("IPAdapterCoreNoise", image=reference, type=kind, strength=0.6, blur=blur, seed=seed)[0]
        for kind, blur, seed in (("dissolve", 0, 1), ("dissolve", 0, 2), ("shuffle", 4, 1))
    ]
    shown = [bench.shown(one) for one in noisy]
    results = [
        bench.sampled(bench.applied(bench.encoded(reference, **more))) for more in ({}, {"negative_image": noisy[0]})
    ]
    bench.run()
    given = torch.from_numpy(bench.pictures(source)).float()
    dissolved, other, shuffled = (bench.pictures(one) for one in shown)
    expected = add_noise(given, Noise.DISSOLVE, 0.6, 1).numpy()
    kept = (expected == given.numpy()).mean()
    assert abs(dissolved - expected).max() < 1.01 / 255 and abs(kept - 0.4) < 0.02
    assert abs(dissolved - other).mean() > 0.05
    assert abs(shuffled - blurred(add_noise(given, Noise.SHUFFLE, 0.6, 1), 4).numpy()).mean() < 0.02
    plain, moved = (bench.pictures(one) for one in results)
    assert abs(plain - moved).max() > 0.02


def test_catalogue_a_wide_reference_in_tiles(bench):
    """Red on the left and blue on the right of a wide image: so they are in the result. Two tiles, two masks, one image."""
    wide = bench.graph.add(
        "ImageStitch", image1=bench.drawn("red")[0], image2=bench.drawn("blue")[0], direction="right",
        match_image_size=True, spacing_width=0, spacing_color="white",
    )[0]  # fmt: skip
    tiled = bench.graph.add(
        "IPAdapterCoreEncodeTiled", ip_adapter=bench.adapter, image=wide, clip_vision=bench.encoder, tiles=0
    )
    tiles, masks = bench.shown(tiled[1]), bench.masks(tiled[2])
    result = bench.sampled(bench.applied(tiled[0]))
    bench.run()
    left, right = bench.pictures(tiles)
    assert nearer(left, RED, BLUE) > 0.3 and nearer(right, BLUE, RED) > 0.3
    shares = bench.pictures(masks)
    assert len(shares) == 2 and abs(shares.sum(axis=0) - 1).max() < 2.01 / 255 and shares[0, :, :60].min() > 0.99
    picture = bench.pictures(result)[0]
    assert nearer(picture[:, :32], RED, BLUE) > 0.2 and nearer(picture[:, 32:], BLUE, RED) > 0.2


def test_catalogue_detail_in_a_graph(bench):
    """Detail 0 is the plain encoder to the byte, detail 1 another image in the same colours, shown at twice the size."""
    reference = bench.drawn("red", background_texture="checked", size=128)[0]
    closer = {"kind": "IPAdapterCoreEncodeDetailed", "tiles": 2}
    prompts = [bench.encoded(reference), *(bench.encoded(reference, **closer, detail=share) for share in (0.0, 1.0))]
    plain, none, all_ = (bench.sampled(bench.applied(prompt)) for prompt in prompts)
    bench.run()
    assert (bench.pictures(plain) == bench.pictures(none)).all()
    assert abs(bench.pictures(plain) - bench.pictures(all_)).max() > 0.02
    assert nearer(bench.pictures(all_), RED, BLUE) > 0.2
    small, large = (bench.pictures(prompt.node).shape[1] for prompt in (prompts[0], prompts[2]))
    assert large == 2 * small


def test_catalogue_style_and_composition_in_a_graph(bench):
    """The very image of two Apply nodes with these layers, both of which act; and without layers an explanation."""
    style, composition = (bench.encoded(bench.drawn(colour)[0]) for colour in ("red", "blue"))
    one, other = (
        bench.graph.add("IPAdapterCoreLayerWeights", preset="linear", blocks=blocks)[0]
        for blocks in ("0: 1, 1: 1, 2: 1, 3: 1", "4: 1, 5: 1, 6: 1")
    )
    values = {
        "style_weight": 0.9,
        "composition_weight": 0.6,
        "expand_style": False,
        "start_percent": 0.0,
        "end_percent": 1.0,
    }
    both = bench.graph.add(
        "IPAdapterCoreApplyStyleComposition", model=bench.model, ip_adapter=bench.adapter, style=style,
        composition=composition, style_layers=one, composition_layers=other, **values,
    )  # fmt: skip
    first = bench.applied(style, weight=0.9, layer_weights=one)
    second = bench.applied(composition, model=first, weight=0.6, layer_weights=other)
    shown = [bench.sampled(model) for model in (both[0], second, first, bench.model)]
    bench.run()
    together, chained, alone, plain = (bench.pictures(node) for node in shown)
    assert (together == chained).all()
    assert abs(together - alone).max() > 0.1 and abs(alone - plain).max() > 0.1
    assert nearer(together, BLUE, RED) > 0.2 > nearer(alone, BLUE, RED)  # the last layers make the demo's colours
    del both.inputs["style_layers"]
    with pytest.raises(GraphError, match="SD1.5 and SDXL.*Layer Weights"):
        bench.run()


def test_catalogue_regions_in_a_graph(bench):
    """Red on the left, and blue as the rest; with the halves exchanged, exchanged; words go under the masks."""
    red, blue = (bench.encoded(bench.drawn(colour)[0]) for colour in ("red", "blue"))
    shown = []
    for mask in half_masks(bench):
        regions = bench.graph.add(
            "IPAdapterCoreRegions", regions="2", positive=bench.words("circle"), **{
                "regions.image_prompt_1": red, "regions.mask_1": mask, "regions.weight_1": 1.0,
                "regions.prompt_1": bench.words("red circle on red"), "regions.image_prompt_2": blue,
                "regions.weight_2": 1.0,
            },
        )  # fmt: skip
        shown.append(bench.sampled(bench.applied(regions[0]), regions[1]))
    bench.run()
    for node, (red_part, blue_part) in zip(
        shown, ((slice(32), slice(32, 64)), (slice(32, 64), slice(32))), strict=True
    ):
        picture = bench.pictures(node)[0]
        assert nearer(picture[:, red_part], RED, BLUE) > 0.2 and nearer(picture[:, blue_part], BLUE, RED) > 0.2


def test_catalogue_regions_without_words_need_none(bench):
    """The image prompt alone; its text output is left."""
    prompt = bench.encoded(bench.drawn("red")[0])
    one = {"regions.image_prompt_1": prompt, "regions.weight_1": 1.0}
    regions = bench.graph.add("IPAdapterCoreRegions", regions="1", **one)
    shown = [bench.sampled(bench.applied(given)) for given in (regions[0], prompt)]
    bench.run()
    assert (bench.pictures(shown[0]) == bench.pictures(shown[1])).all()
