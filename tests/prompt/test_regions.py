"""Style and composition from two references, regions, and references and prompts over frames, stated in float64."""

import pytest
import torch
from pack.ipadapter_core.errors import ImagePromptError, WeightError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families.unet import layer_map
from pack.ipadapter_core.patchers.style_composition import Sources, apply_style_and_composition
from pack.ipadapter_core.prompt.per_frame import references_over_frames, words_over_frames
from pack.ipadapter_core.prompt.regions import Region, regional_prompt, regional_words
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.frame_weights import FrameMethod, FramePlan, frame_plan
from pack.ipadapter_core.weights.layer_weights import LayerWeights
from pack.ipadapter_core.weights.parsing import read_overrides
from pack.tests.oracles.layer_weights import COMPOSITION, COUNT, STYLE, running_index
from pack.tests.oracles.naive_layer import GRID, attend, bench, effect, far, keys_values, picture, prompt, query
from pack.tools.miniature.models import adapter_weights, managed, tiny_model, widths_of

pytestmark = pytest.mark.catalogue

EXACT = 1e-12
W, WC = 0.7, 1.3


def stated(weights, index, rows, reference, weight):
    """What one reference adds to the negative and the positive row at a layer."""
    image = reference.image
    parts = []
    for row, features in zip(rows, (image.negative, image.features), strict=True):
        key, value = keys_values(weights, index, features)
        parts.append(weight * attend(row, key, value))
    return torch.stack(parts)


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_catalogue_each_reference_acts_in_its_own_layers(base, expand):
    """At every layer: w times the style where style is made (or everywhere else), wc times the composition where that is."""
    model, adapter, weights = bench(base)
    style, composition = picture(2), picture(3)
    sources = Sources(prompt(style), prompt(composition), W, WC, expand)
    patched = apply_style_and_composition(model, adapter, sources, Strength(0.9))
    places = running_index(model)
    for index, layer in enumerate(layer_map(model.model.diffusion_model)):
        t = places[index]
        given = query(layer.width)
        expected = torch.zeros_like(given)
        if t in COMPOSITION[base]:
            expected = stated(weights, index, given, composition, 0.9 * WC * COMPOSITION[base][t])
        elif t in STYLE[base] or (expand and t < COUNT[base]):
            expected = stated(weights, index, given, style, 0.9 * W)
        assert far(effect(patched, index, given), expected) < EXACT


def test_catalogue_layers_by_hand_for_a_unet_that_is_not_known():
    """Presets refuse it and say so; layers that are given hold."""
    sizes = {"transformer_depth": [0, 0, 0, 0, 1, 1], "transformer_depth_output": [0, 0, 0, 0, 0, 0, 1, 1, 1]}
    model = tiny_model("SDXL", transformer_depth_middle=-1, **sizes)
    weights = {key: part.double() for key, part in adapter_weights("base", widths_of(model), 96).items()}
    adapter, style, composition = managed(weights), picture(2), picture(3)
    with pytest.raises(WeightError, match="SD1.5 and SDXL"):
        apply_style_and_composition(model, adapter, Sources(prompt(style), prompt(composition)), Strength())
    one, other = (LayerWeights(overrides=read_overrides(text)) for text in ("2: 1", "0: 0.5"))
    by_hand = Sources(prompt(style), prompt(composition), W, WC, False, one, other)
    patched = apply_style_and_composition(model, adapter, by_hand, Strength())
    for index, layer in enumerate(layer_map(model.model.diffusion_model)):
        t = running_index(model)[index]
        given = query(layer.width)
        expected = torch.zeros_like(given)
        if t in (0, 2):
            expected = stated(weights, index, given, *((style, W) if t == 2 else (composition, 0.5 * WC)))
        assert far(effect(patched, index, given), expected) < EXACT


def rows(*values):
    """A mask of the grid under test from a value for each of its rows."""
    return torch.tensor(values).view(1, GRID[0], 1).expand(1, *GRID).contiguous()


def test_catalogue_regions_act_in_their_places_and_the_rest_elsewhere():
    """Soft masks, weights, and one region without a mask."""
    model, adapter, weights = bench()
    regions = [
        Region(prompt(picture(2)), rows(1.0, 0.25, 0.0), 0.5),
        Region(prompt(picture(3)), None, 0.8),
        Region(prompt(picture(4)), rows(0.0, 0.5, 0.0), 1.0),
    ]
    places = [rows(1.0, 0.25, 0.0), rows(0.0, 0.25, 1.0), rows(0.0, 0.5, 0.0)]
    patched = apply_image_prompt(model, adapter, regional_prompt(regions), Strength())
    for index in (0, 5, 15):
        given = query(layer_map(model.model.diffusion_model)[index].width)
        expected = sum(
            stated(weights, index, given, region.prompt.references[0], region.weight) * place.reshape(1, -1, 1)
            for region, place in zip(regions, places, strict=True)
        )
        assert far(effect(patched, index, given), expected) < EXACT


def test_catalogue_regions_of_other_sizes_and_of_frames():
    """The rest of masks of two sizes, one of them for two frames; where all have none, each is everywhere."""
    small, large = torch.ones(1, 2, 4), torch.ones(2, 4, 8)
    small[..., 2:], large[0], large[1, :, :6] = 0, 0, 0
    made = regional_prompt(
        [Region(prompt(picture(2)), small), Region(prompt(picture(3)), large), Region(prompt(picture(4)))]
    )
    rest = made.references[2].mask.values
    assert torch.equal(rest, torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 0]]).view(2, 1, 4).expand(2, 2, 4))
    assert regional_prompt([Region(prompt(picture(2)))]).references[0].mask is None


def test_catalogue_words_of_regions_are_under_their_masks():
    """Beside those for the whole image; a region's own extras stay; none at all is explained."""
    mask, everywhere = torch.rand(1, 4, 4), [["all", {"pooled_output": 1}]]
    regions = [Region(prompt(picture(2)), mask, 1.0, [["left", {"strength": 0.5}]]), Region(prompt(picture(3)))]
    whole, left = regional_words(regions, everywhere, 0.7)
    assert whole == ["all", {"pooled_output": 1}] and left[0] == "left"
    assert torch.equal(left[1].pop("mask"), mask)
    assert left[1] == {"strength": 0.5, "set_area_to_bounds": False, "mask_strength": 0.7}
    assert "mask" not in everywhere[0][1]
    with pytest.raises(ImagePromptError, match="no words"):
        regional_words([Region(prompt(picture(2)))])


@pytest.mark.parametrize("method", list(FrameMethod), ids=lambda method: method.value)
def test_catalogue_every_frame_sees_its_two_references(method):
    """w times one and 1 - w times the other, at every frame."""
    model, adapter, weights = bench()
    given = prompt(picture(2), picture(3, 0.5), picture(4))
    plan = frame_plan((1.0, 0.75, 0.0), 3, method, lead_in=1)
    patched = model
    for one in references_over_frames(given, plan):
        patched = apply_image_prompt(patched, adapter, one, Strength(), per_frame=True)
    frames = len(plan.weights)
    rows_ = query(32, 2 * frames)
    got = effect(patched, 0, rows_)
    for frame in range(frames):
        pair = rows_[[frame, frames + frame]]
        shown = [(plan.first[frame], plan.weights[frame])]
        if plan.second:
            shown.append((plan.second[frame], 1 - plan.weights[frame]))
        expected = sum(
            stated(weights, 0, pair, given.references[number], weight * given.references[number].weight)
            for number, weight in shown
        )
        assert far(got[[frame, frames + frame]], expected) < EXACT


def test_catalogue_a_plan_of_one_sequence_leaves_the_second_silent():
    """So that a workflow with two Apply nodes still runs."""
    _, second = references_over_frames(prompt(picture(2)), FramePlan((1.0,), (0,)))
    assert [one.weight for one in second.references] == [0.0]


def test_catalogue_prompts_over_frames_are_rows():
    """Each for its frames, between the leads; unlike lengths are repeated; several conditionings at once are refused."""
    short, long = torch.randn(1, 2, 3), torch.randn(1, 4, 3)
    words = [[[short, {"pooled_output": torch.zeros(1, 5), "x": 1}]], [[long, {"pooled_output": torch.ones(1, 5)}]]]
    ((got, values),) = words_over_frames(words, 2, lead_in=1, lead_out=1)
    expected = [short.repeat(1, 2, 1)] * 3 + [long] * 3
    assert torch.equal(got, torch.cat(expected)) and values["x"] == 1
    assert values["pooled_output"][:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ImagePromptError, match="2 conditionings"):
        words_over_frames([words[0] * 2], 2)
