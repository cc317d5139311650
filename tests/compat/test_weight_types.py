"""Every weight type, combination and scaling of the old nodes, in both kinds of results, against float64 statements."""

import pytest
import torch
from pack.ipadapter_core.compat.apply import apply_embeds
from pack.ipadapter_core.compat.embeds import Embeds, combine_embeds
from pack.ipadapter_core.compat.pipeline import Pipeline
from pack.ipadapter_core.compat.request import Request, halves
from pack.ipadapter_core.compat.weight_types import Results
from pack.ipadapter_core.prompt.combine import Combination
from pack.tests.oracles.ipadapter_plus_nodes import COMBINE, SCALING, WEIGHT_TYPES
from pack.tests.oracles.recorded_passes import FEATURES, WIDTH, Recorder, alone, attend, error, sample
from pack.tests.oracles.weight_types import BOOST, CORRECTED, COUNT, RESULTS, W, blocks_of, combined, stated
from pack.tools.miniature.models import adapter_weights, managed, tiny_model, widths_of

pytestmark = pytest.mark.catalogue

EXACT = 1e-9


@pytest.mark.parametrize("results", RESULTS)
@pytest.mark.parametrize("kind", WEIGHT_TYPES)
@pytest.mark.parametrize("base", COUNT)
def test_catalogue_weight_type_of_each_layer(base, kind, results):
    blocks, running = blocks_of(tiny_model(base))
    totals = [[0.0, 0.0, False] for _ in blocks]
    for half in halves(Request(weight=W, weight_type=kind, results=Results(results))):
        for total, layer in zip(totals, half.layers.resolve(tuple(blocks)), strict=True):
            total[0] += layer.positive * half.strength.weight
            total[1] += layer.negative * half.strength.weight
            total[2] = total[2] or (layer.negative_sees_reference and layer.negative != 0)
    expected = stated(kind, base, results)
    for total, t in zip(totals, running, strict=True):
        assert total[:2] == pytest.approx(expected[t][:2], rel=1e-12) and (total[2] == expected[t][2] or total[1] == 0)


@pytest.fixture(scope="module")
def bench():
    """A model of SD1.5's structure and an adapter, in float64, and the features of two images with their negative."""
    model = tiny_model("SD1.5", dtype=torch.float64)
    adapter = managed(adapter_weights("base", widths_of(model), WIDTH), torch.float64)
    generator = torch.Generator().manual_seed(4)
    features, negative = torch.randn(2, 2, FEATURES, generator=generator, dtype=torch.float64)
    return model, adapter, features, negative[:1]


class Layer:
    """What one layer adds for one side: attention to keys and values that are scaled as a mode says."""

    def __init__(self, key, value, weight, mode):
        penalty = key.shape[-1] / 1280 if "penalty" in mode else 1.0
        weight = weight * penalty
        mean = value.mean(dim=1, keepdim=True)
        if mode == "V only":
            self.key, self.value = key, value * weight
        elif "mean" in mode:
            self.key, self.value = key * weight, value - mean + mean * weight
        else:
            self.key, self.value = key * weight, value * weight
        self.silent = weight == 0

    def __call__(self, query, key, value, options):
        text = attend(query, key, value, options["n_heads"])
        if self.silent:
            return text
        shape = (len(query), -1, -1)
        key_image, value_image = (part.flatten(0, 1).unsqueeze(0).expand(shape) for part in (self.key, self.value))
        return text + attend(query, key_image, value_image, options["n_heads"])


def layers(model, adapter, features, weights, mode="V only"):
    """A hook for every layer of one pass; features (N, E) of images that are attended to together."""
    blocks, running = blocks_of(model)
    network = adapter.network
    with torch.no_grad():
        tokens = network.image_tokens(features.double())
        return {
            block: Layer(*network.key_value(2 * number + 1, tokens), weights[t], mode)
            for number, (block, t) in enumerate(zip(blocks, running, strict=True))
        }


def worst(bench, request, features, negative, rows, mode="V only"):
    """The largest error of a pass of a real run against the statement."""
    model, adapter, *_ = bench
    pipeline = Pipeline(adapter)
    patched = apply_embeds(model, pipeline, request, Embeds(features, features), Embeds(negative, negative))
    recorder = Recorder(patched)
    sample(recorder.model, steps=1)
    errors = []
    with torch.no_grad():
        positive = layers(model, adapter, features, [row[0] for row in rows], mode)
        against = layers(model, adapter, negative.expand_as(features), [row[1] * (not row[2]) for row in rows], mode)
        turned = layers(model, adapter, features, [row[1] * row[2] for row in rows], mode)
        blocks, running = blocks_of(model)
        against |= {block: turned[block] for block, t in zip(blocks, running, strict=True) if rows[t][2]}
        for place, one in enumerate(recorder.passes):
            errors.append(error(one.output, alone(model, one, (positive, against)[_side(recorder, place)])))
    return max(errors)


def _side(recorder, place: int) -> int:
    """ComfyUI's order of the two passes in a call: the negative first."""
    return 1 - place % 2


@pytest.mark.parametrize("results", RESULTS)
@pytest.mark.parametrize("kind", WEIGHT_TYPES)
def test_catalogue_weight_type_in_a_run(bench, kind, results):
    """What the UNet predicts."""
    *_, features, negative = bench
    request = Request(weight=W, weight_type=kind, results=Results(results))
    assert worst(bench, request, features[:1], negative, stated(kind, "SD1.5", results)) < EXACT


@pytest.mark.parametrize("results", RESULTS)
@pytest.mark.parametrize("mode", SCALING)
def test_catalogue_scaling_in_a_run(bench, mode, results):
    """Two images, so that the mean of each image's values counts."""
    *_, features, negative = bench
    request = Request(weight=W, embeds_scaling=mode, results=Results(results))
    assert worst(bench, request, features, negative, stated("linear", "SD1.5", results), mode) < EXACT


@pytest.mark.parametrize("boost", ["style_boost", "composition_boost"])
def test_catalogue_boosts_in_a_run(bench, boost):
    """The second weight stands by itself."""
    *_, features, negative = bench
    kind = {"style_boost": "style transfer precise", "composition_boost": "composition precise"}[boost]
    request = Request(weight=W, **{boost: BOOST})
    rows = stated(kind, "SD1.5", CORRECTED, boost=BOOST)
    assert worst(bench, request, features[:1], negative, rows) < EXACT


def test_catalogue_layer_weights_by_index():
    """Blocks that are not named are silent; indices that the model has no block for are passed over."""
    blocks, running = blocks_of(tiny_model("SDXL"))
    request = Request(weight=W, weight_type="ease in", layer_weights="3: 1.0,\n6:0.5, 15: 1")
    ((layers_, strength),) = halves(request)
    found = [layer.positive * strength.weight for layer in layers_.resolve(tuple(blocks))]
    assert found == pytest.approx([{3: W, 6: 0.5 * W}.get(t, 0.0) for t in running])
    only = Request(layer_weights="15: 1")
    assert all(layer.silent for layer in halves(only)[0].layers.resolve(tuple(blocks)))


@pytest.mark.parametrize("results", RESULTS)
@pytest.mark.parametrize("method", [*COMBINE, "max", "min"])
def test_catalogue_combining(method, results):
    """Three embeds in two parts."""
    e = torch.randn(3, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given = [Embeds(e[:2], e[:2]), Embeds(e[2:], e[2:])]
    found = combine_embeds(given, Combination(method)).of(Results(results))
    assert torch.allclose(found, combined(method, results, e), atol=1e-12)
