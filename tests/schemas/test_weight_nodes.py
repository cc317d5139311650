"""The nodes of weights and references: what they declare, and that they run as ComfyUI runs them."""

from pathlib import Path

import pytest
import torch
from pack.ipadapter_core.drawing.weight_plots import HEIGHT, WIDTH, plot_layer_weights, plot_schedule
from pack.ipadapter_core.errors import WeightError
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.layer_presets import LayerPreset
from pack.ipadapter_core.weights.layer_weights import LayerWeights
from pack.ipadapter_core.weights.parsing import read_overrides
from pack.ipadapter_core.weights.scaling import Scaling
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.nodes.folders import register_folders
from pack.tests.oracles.naive_layer import bench, picture, prompt
from pack.tests.oracles.node_runs import BY_ID, value
from pack.tools.miniature.executing import execute

import folder_paths
from comfy_api.latest import _io as node_api
from comfy_api.latest._input.curve_types import LinearCurve

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
register_folders()


@pytest.fixture(autouse=True)
def previews(tmp_path):
    """Previews go to a folder of the test."""
    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(tmp_path))
    yield
    folder_paths.set_temp_directory(before)


def declared(node_id):
    return {one.id: one for one in BY_ID[node_id].GET_SCHEMA().inputs}


@pytest.mark.parametrize("node_id", BY_ID)
def test_engine_nodes_declare_everything(node_id):
    """A tooltip on every input, aliases, a help page that names each input, at most six widgets in sight."""
    schema = BY_ID[node_id].GET_SCHEMA()
    page = (ROOT / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
    assert schema.search_aliases and schema.description and all(output.tooltip for output in schema.outputs)
    for one in schema.inputs:
        assert one.tooltip, one.id
        assert f"`{one.id}`" in page, one.id
    widgets = [one for one in schema.inputs if isinstance(one, node_api.WidgetInput) and not one.advanced]
    assert len(widgets) <= 6


def test_engine_nodes_keep_old_prompts_working():
    """What came after the first release is optional."""
    required = {one.id for one in BY_ID["IPAdapterCoreApply"].GET_SCHEMA().inputs if not one.optional}
    assert required == {"model", "ip_adapter", "image_prompt", "weight", "start_percent", "end_percent"}


def test_engine_nodes_apply_passes_everything_on():
    """Each input reaches the application."""
    model, adapter, _ = bench()
    common = {"model": model, "ip_adapter": adapter, "image_prompt": prompt(picture(2), picture(3))}
    common |= {"weight": 0.7, "start_percent": 0.1, "end_percent": 0.9}
    plain = value(execute("IPAdapterCoreApply", **common))
    (application,) = applications_of(plain.model_options["transformer_options"])
    assert application.strength == Strength(0.7, 0.1, 0.9) and not application.per_frame
    weights, schedule = LayerWeights(LayerPreset.WEAK_MIDDLE), WeightSchedule(((0.0, 0.5),))
    full = value(
        execute(
            "IPAdapterCoreApply", **common, mask=torch.full((1, 8, 8), 0.5), layer_weights=weights,
            weight_schedule=schedule, embeds_scaling="K+V", references="one per frame", frame_weights="1, 0.5",
        )
    )  # fmt: skip
    (application,) = applications_of(full.model_options["transformer_options"])
    assert application.strength == Strength(0.7, 0.1, 0.9, schedule, (1.0, 0.5), Scaling.K_AND_V)
    assert application.per_frame and application.layers[-1].positive == 0.2 and application.mask is not None
    with pytest.raises(WeightError, match="found 'much'"):
        execute("IPAdapterCoreApply", **common, frame_weights="1, much")


def test_engine_nodes_layer_weights():
    output = execute(
        "IPAdapterCoreLayerWeights", preset="style transfer precise", blocks="middle: 0.5", second_weight=0.3
    )
    assert value(output) == LayerWeights(LayerPreset.PRECISE_STYLE, 1.0, 0.3, read_overrides("middle: 0.5"))
    assert output.ui.as_dict()["images"]
    with pytest.raises(WeightError, match="input 12"):
        execute("IPAdapterCoreLayerWeights", preset="linear", blocks="input 12: 1")


def test_engine_nodes_weight_schedule():
    """Curve before points before preset."""
    curve = LinearCurve([(0.0, 0.25), (1.0, 0.25)])
    by_preset = value(execute("IPAdapterCoreWeightSchedule", preset="late", points=""))
    by_points = value(execute("IPAdapterCoreWeightSchedule", preset="late", points="0: 0.5"))
    by_curve = execute("IPAdapterCoreWeightSchedule", preset="late", points="0: 0.5", curve=curve)
    assert [one.at(0.1) for one in (by_preset, by_points, value(by_curve))] == [0.0, 0.5, 0.25]
    assert by_curve.ui.as_dict()["images"]


def test_engine_nodes_combine_in_the_order_of_sockets():
    """Twelve sockets handed over in another order: the tenth is not the second."""
    prompts = [prompt(picture(seed)) for seed in range(12)]
    sockets = {f"image_prompts.image_prompt{number}": prompts[number] for number in reversed(range(12))}
    joined = value(execute("IPAdapterCoreCombine", **sockets, method="concat", weights="1, 1, 0.5"))
    assert [one.image for one in joined.references] == [one.references[0].image for one in prompts]
    assert [one.weight for one in joined.references] == [1.0, 1.0, 0.5] + [1.0] * 9
    mixed = value(execute("IPAdapterCoreCombine", **sockets, method="subtract"))
    assert len(mixed.references) == 1


def test_engine_nodes_weigh_reference():
    pair = prompt(picture(2), picture(3, 0.5))
    masks = torch.rand(2, 4, 4)
    each = value(execute("IPAdapterCoreWeighReference", image_prompt=pair, weight=0.5, mask=masks))
    assert [one.weight for one in each.references] == [0.5, 0.25]
    assert all(torch.equal(one.mask.values, masks[index : index + 1]) for index, one in enumerate(each.references))
    clip = value(
        execute("IPAdapterCoreWeighReference", image_prompt=pair, weight=1.0, mask=masks, mask_batch="one per frame")
    )
    first, second = (one.mask for one in clip.references)
    assert first is second and torch.equal(first.values, masks)


def test_engine_plots_show_the_weights():
    """Bars are as long as weights are: a column of half the weight has half the colour."""
    full, half = (plot_layer_weights(LayerWeights(LayerPreset.LINEAR, weight)) for weight in (1.0, 0.5))
    assert full.shape == half.shape == (1, 2 * HEIGHT, WIDTH, 3) and full.min() >= 0 and full.max() <= 1
    green = torch.tensor((94, 170, 120)) / 255
    counts = [int(((one - green).abs() < 1e-3).all(-1).sum()) for one in (full, half)]
    assert counts[0] > 10000 and abs(counts[1] / counts[0] - 0.5) < 0.02
    only = plot_layer_weights(LayerWeights(overrides=read_overrides("output 11: 1")))
    assert only.shape == (1, HEIGHT, WIDTH, 3)  # SDXL has no such block
    assert plot_schedule(WeightSchedule(((0.0, -1.0), (1.0, 2.0)))).shape == (1, HEIGHT, WIDTH, 3)
