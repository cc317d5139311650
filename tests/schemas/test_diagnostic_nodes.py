"""The nodes as ComfyUI runs them: what is written into a file, lists of models, plots, previews."""

import base64
import hashlib
import io
import json

import numpy as np
import pytest
import torch
from pack.ipadapter_core.diagnostics.attention_maps import OPACITY
from pack.ipadapter_core.diagnostics.trace import trace_of
from pack.ipadapter_core.drawing.weight_plots import HEIGHT, WIDTH, plot_layer_weights
from pack.ipadapter_core.encoders.features import to_uint8
from pack.ipadapter_core.errors import RecordingError
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, Reference
from pack.ipadapter_core.weights.layer_presets import LayerPreset
from pack.ipadapter_core.weights.layer_weights import LayerWeights
from pack.ipadapter_core.weights.parsing import read_overrides
from pack.tests.oracles.naive_layer import bench, picture, prompt
from pack.tests.oracles.node_runs import BY_ID, value
from pack.tests.oracles.seen_queries import apply, exact_adapter, exact_model, references, sample, text
from pack.tools.miniature.executing import execute
from PIL import Image

import folder_paths
from comfy_api.latest import io as node_io

pytestmark = pytest.mark.seeing


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """What is saved goes to folders of the test."""
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path / "temp"))
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    return tmp_path


def watched_run(**strength):
    """A finished run of a model with two references, one of them with the pixels that an encoder saw."""
    model = exact_model()
    seen = torch.rand(9, 7, 3, generator=torch.Generator().manual_seed(1))
    first, second = references(2)
    with_pixels = Reference(EncodedImage(first.image.features, first.image.negative, to_uint8(seen)), 0.5)
    patched = apply(model, exact_adapter(model), (with_pixels, second), **strength)
    output = execute("IPAdapterCoreWatch", model=patched, attention_maps=True)
    watched, run = output.result
    sample(watched, text(0), text(1), (1, 4, 16, 16), steps=4)
    return run, to_uint8(seen)


def test_seeing_a_trace_is_in_the_file(folders):
    """Read back from the PNG by its own chunk, beside what Save Image writes."""
    run, seen = watched_run(weight=0.7, start_percent=0.0, end_percent=0.6)
    node = BY_ID["IPAdapterCoreSaveTrace"]
    given = {node_io.Hidden.prompt: {"1": {}}, node_io.Hidden.extra_pnginfo: {"workflow": {"nodes": []}}}
    clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": given})
    scores = json.dumps({"rows": []})
    output = clone.EXECUTE_NORMALIZED(
        images=torch.rand(2, 16, 16, 3), run=run, filename_prefix="sub/traced", scores=scores
    )
    files = sorted((folders / "output" / "sub").glob("traced_*.png"))
    assert len(files) == len(output.ui["images"]) == 2
    chunks = Image.open(files[1]).text
    trace = json.loads(chunks["ipadapter_core"])
    assert trace == json.loads(value(output)) and trace["scores"] == {"rows": []}
    assert json.loads(chunks["prompt"]) == {"1": {}} and json.loads(chunks["workflow"]) == {"nodes": []}
    (application,) = trace["applications"]
    assert application["weight"] == 0.7 and application["window"] == [0.0, 0.6] and not application["masked"]
    assert application["steps_active"] == [0, 1]  # they begin at 999, 666, 333 and 0 of 999, the window ends at 400
    assert trace["steps"] == 4 and len(trace["sigmas"]) == 5
    assert application["layer_count"] == 16 and application["layers"]["middle"] == [1.0, 1.0]
    first, second = application["references"]
    assert (first["weight"], first["tokens"], second["seen"]) == (0.5, 4, None)
    assert first["seen"]["size"] == [7, 9]
    assert first["seen"]["sha256"] == hashlib.sha256(seen.numpy().tobytes()).hexdigest()
    small = Image.open(io.BytesIO(base64.b64decode(first["seen"]["jpeg"])))
    assert small.size == (7, 9) and abs(float(np.asarray(small).mean()) - float(seen.float().mean())) < 6
    print("trace of", len(chunks["ipadapter_core"]), "bytes:", output.ui["text"][0].splitlines()[1])


def test_seeing_a_trace_before_the_run_is_explained():
    """And one of a model without an adapter tells just the steps."""
    model, run = execute("IPAdapterCoreWatch", model=exact_model(), attention_maps=False).result
    with pytest.raises(RecordingError, match="put Record Attention between Apply"):
        trace_of(run)
    sample(model, text(0), text(1), (1, 4, 16, 16), steps=2)
    assert trace_of(run)["applications"] == [] and trace_of(run)["steps"] == 2


def test_seeing_maps_come_with_masks():
    """A map for each reference, as large as the image."""
    run, _ = watched_run()
    output = execute(
        "IPAdapterCoreAttentionMaps", run=run, image=torch.zeros(1, 40, 24, 3), measure="attention share", blocks="",
        threshold=0.0,
    )  # fmt: skip
    overlays, masks = output.result
    assert overlays.shape == (2, 40, 24, 3) and masks.shape == (2, 40, 24) and len(output.ui.as_dict()["images"]) == 2
    assert torch.allclose(overlays[..., 0], ((3 * masks).clamp(0, 1) * OPACITY * masks), atol=1e-5)
    hard = execute(
        "IPAdapterCoreAttentionMaps", run=run, image=torch.zeros(1, 40, 24, 3), measure="contribution", blocks="output",
        threshold=0.5,
    )  # fmt: skip
    assert set(hard.result[1].unique().tolist()) <= {0.0, 1.0}


def test_seeing_a_sweep_makes_a_model_for_each_variant():
    """Weights and presets arrive, weight 0 is no application."""
    model, adapter, _ = bench()
    output = execute(
        "IPAdapterCoreSweep", model=model, ip_adapter=adapter, image_prompt=prompt(picture(2)), weights="0, 0.5, 1",
        presets="linear, weak middle", start_percent=0.1, end_percent=0.9,
    )  # fmt: skip
    models, sweep = output.result
    found = [applications_of(one.model_options["transformer_options"]) for one in models]
    assert [len(one) for one in found] == [0, 1, 1, 0, 1, 1]
    assert [one[0].strength.weight for one in found if one] == [0.5, 1.0, 0.5, 1.0]
    assert [one[0].layers[-1].positive for one in found if one] == [1.0, 1.0, 0.2, 0.2]
    assert found[1][0].strength.start_percent == 0.1 and len(sweep.variants) == 6
    assert node_outputs("IPAdapterCoreSweep") == [True, False]


def node_outputs(node_id):
    return [one.is_output_list for one in BY_ID[node_id].GET_SCHEMA().outputs]


def test_seeing_lists_meet_again():
    """Grid and scores take the whole list at once, as ComfyUI gives it."""
    model, adapter, _ = bench()
    sweep = execute(
        "IPAdapterCoreSweep", model=model, ip_adapter=adapter, image_prompt=prompt(picture(2)), weights="0, 1",
        presets="linear", start_percent=0.0, end_percent=1.0,
    ).result[1]  # fmt: skip
    images = [torch.full((1, 8, 8, 3), 0.2), torch.full((1, 8, 8, 3), 0.8)]
    grid = value(execute("IPAdapterCoreGrid", images=images, sweep=[sweep], tile=[32], pictures=[1]))
    assert grid.shape[0] == 1 and grid.shape[2] > 2 * 32
    output = execute("IPAdapterCoreScore", images=images, prompt=[""], references=images[1:], sweep=[sweep],
                     prompt_scores=[0.9, 0.1])  # fmt: skip
    rows = json.loads(output.result[0])["rows"]
    assert [row["prompt"] for row in rows] == [0.9, 0.1] and rows[1]["palette"] == 0 < rows[0]["palette"]
    assert output.result[3] == 1.0 and output.ui["images"] and "weight 0" in output.ui["text"][0]
    assert all(BY_ID[name].GET_SCHEMA().is_input_list for name in ("IPAdapterCoreGrid", "IPAdapterCoreScore"))


def test_seeing_layer_weights_of_transformers_are_drawn():
    """Names and indices that no UNet has; both are drawn where nothing is named."""
    flux = plot_layer_weights(LayerWeights(overrides=read_overrides("double: 0, single 12: 0.5")))
    assert flux.shape == (1, HEIGHT, WIDTH, 3)
    assert plot_layer_weights(LayerWeights(overrides=read_overrides("block 3: 0.5"))).shape == (1, 2 * HEIGHT, WIDTH, 3)
    assert plot_layer_weights(LayerWeights(overrides=read_overrides("30: 0.5"))).shape == (1, 2 * HEIGHT, WIDTH, 3)
    assert plot_layer_weights(LayerWeights(LayerPreset.STYLE)).shape == (1, 2 * HEIGHT, WIDTH, 3)
    green = torch.tensor((94, 170, 120)) / 255
    columns = ((flux[0] - green).abs() < 1e-3).all(-1)
    heights = columns[:, WIDTH // 2 :].sum(0)
    assert heights.max() > 1.8 * heights[heights > 20].min()  # single 12 is half as high as its neighbours
