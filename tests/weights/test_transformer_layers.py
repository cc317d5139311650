"""Layer weights of transformers: presets named by the blocks that they leave, single blocks by name, and their images."""

import pytest
import torch
from pack.ipadapter_core.drawing.weight_plots import HEIGHT, plot_layer_weights
from pack.ipadapter_core.errors import WeightError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.layer_presets import TRANSFORMER_BLOCKS, LayerPreset
from pack.ipadapter_core.weights.layer_weights import LayerWeights, known_places
from pack.ipadapter_core.weights.parsing import read_overrides
from pack.tests.oracles.transformer_world import every, world
from pack.tools.miniature.transformers import predict, relative, some_call

pytestmark = pytest.mark.dit

FLUX = "FLUX.1 and Chroma"
HALVES = (LayerPreset.FIRST_HALF, LayerPreset.SECOND_HALF)
THIRDS = (LayerPreset.FIRST_THIRD, LayerPreset.MIDDLE_THIRD, LayerPreset.LAST_THIRD)


def weights_of(preset, structure):
    """The positive weight of each block in running order."""
    return [weight.positive for _, weight in LayerWeights(preset).by_place(known_places(structure))]


@pytest.mark.parametrize("structure", TRANSFORMER_BLOCKS)
@pytest.mark.parametrize("parts", [HALVES, THIRDS], ids=["halves", "thirds"])
def test_ranges_share_no_block_and_leave_none_out(structure, parts):
    """In running order: each block belongs to exactly one of them, and none has two blocks more than another."""
    rows = [weights_of(part, structure) for part in parts]
    assert [sum(column) for column in zip(*rows, strict=True)] == [1.0] * len(rows[0])
    assert max(map(sum, rows)) - min(map(sum, rows)) <= 1
    first = [row.index(1.0) for row in rows]
    assert first == sorted(first)


def test_double_and_single_blocks():
    """FLUX has 19 and 38; a model without any is told so."""
    assert weights_of(LayerPreset.DOUBLE, FLUX) == [1.0] * 19 + [0.0] * 38
    assert weights_of(LayerPreset.SINGLE, FLUX) == [0.0] * 19 + [1.0] * 38
    for preset, structure in ((LayerPreset.SINGLE, "FLUX.1 by XLabs"), (LayerPreset.DOUBLE, "Anima")):
        with pytest.raises(WeightError, match=f"'{preset.value}' leaves none of the model's blocks"):
            weights_of(preset, structure)


@every
def test_halves_of_the_blocks_make_the_whole(case):
    """Both halves at once are the adapter; each alone is another image."""
    name, model, ip_adapter, prompt = world(case)
    call = some_call(name)

    def with_halves(*halves):
        patched = model
        for half in halves:
            patched = apply_image_prompt(patched, ip_adapter, prompt, Strength(), layer_weights=LayerWeights(half))
        return patched

    whole, plain = predict(with_halves(LayerPreset.LINEAR), call), predict(model, call)
    both, first, second = (predict(with_halves(*halves), call) for halves in (HALVES, HALVES[:1], HALVES[1:]))
    assert relative(both - whole, whole - plain) < 2e-5
    assert relative(first - second, whole - plain) > 0.05
    assert min(relative(one - plain, whole - plain) for one in (first, second)) > 0.02


def test_blocks_by_name_and_their_picture():
    """The node draws a transformer's blocks where no UNet has the names; a name that nobody has is an error."""
    _, model, ip_adapter, prompt = world("FLUX InstantX")
    weights = LayerWeights(overrides=read_overrides("double: 0, single 1: 0.5"))
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(), layer_weights=weights)
    (application,) = applications_of(patched.model_options["transformer_options"])
    assert [layer.positive for layer in application.layers] == [0.0, 0.0, 1.0, 0.5, 1.0]
    assert plot_layer_weights(weights).shape[1] == HEIGHT  # FLUX alone has single blocks
    assert plot_layer_weights(LayerWeights(LayerPreset.DOUBLE)).shape[1] == 2 * HEIGHT
    assert plot_layer_weights(LayerWeights(LayerPreset.FIRST_HALF)).shape[1] == 2 * HEIGHT  # the UNets
    assert torch.isfinite(plot_layer_weights(LayerWeights(overrides=read_overrides("block 27: 0")))).all()
    with pytest.raises(WeightError, match="found 'single 77'"):
        plot_layer_weights(LayerWeights(overrides=read_overrides("single 77: 1")))
