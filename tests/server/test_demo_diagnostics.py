"""In the demo world: maps of confined references, scores over weights, and both workflows in a real server."""

import io
import json
from functools import cache

import pytest
import torch
from pack.demo.load import load
from pack.demo.measure import prompt_kept
from pack.demo.pictures import Request, draw
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.diagnostics.attention_maps import attention_maps
from pack.ipadapter_core.diagnostics.record import record_attention
from pack.ipadapter_core.diagnostics.recording import Measure
from pack.ipadapter_core.diagnostics.score import ScoreTargets, score
from pack.ipadapter_core.diagnostics.scores import table
from pack.ipadapter_core.diagnostics.sweep import read_sweep
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tools.comfyui.api_prompt import graph_file, node, set_inputs
from pack.tools.comfyui.server import ROOT
from PIL import Image

import comfy.sample

pytestmark = pytest.mark.seeing

ADAPTER = ROOT / "demo" / "weights" / "ipadapter" / "demo_world_ip_adapter.safetensors"
REFERENCE = Request("circle", "yellow", "blue", "plain", "striped")


@cache
def world():
    """The demo's models, its adapter, and an image prompt with its image."""
    models, adapter = load(), load_adapter(str(ADAPTER))
    picture = draw(REFERENCE, 11).picture
    prompt, _ = encode_references(adapter.spec, models.clip_vision, picture, EncodeOptions())
    return models, adapter, prompt, picture


def sample(model, text, pictures, steps):
    models = world()[0]
    positive, negative = (models.clip.encode_from_tokens_scheduled(models.clip.tokenize(words)) for words in (text, ""))
    noise = torch.randn(pictures, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    settings = (steps, 3.0, "euler", "simple", positive, negative, torch.zeros_like(noise))
    return models.vae.decode(comfy.sample.sample(model, noise, *settings, disable_pbar=True, seed=1))


def halves():
    return torch.cat((torch.ones(1, 64, 32), torch.zeros(1, 64, 32)), dim=2)


@pytest.mark.parametrize("shape", ["left half", "circle"])
def test_seeing_a_confined_reference_lights_up_inside_its_mask(shape):
    """Mean inside over mean outside, at least 5."""
    models, adapter, prompt, _ = world()
    mask = halves() if shape == "left half" else draw(Request("circle"), 3).mask
    free, _ = encode_references(
        adapter.spec, models.clip_vision, draw(Request("star", "red", "white"), 5).picture, EncodeOptions()
    )
    model = apply_image_prompt(models.model, adapter, prompt, Strength(), mask)
    model = apply_image_prompt(model, adapter, free, Strength(), 1 - mask)
    watched, recording = record_attention(model)
    sample(watched, "a heart", 1, 4)
    for measure in Measure:
        confined, other = attention_maps(recording, measure, (64, 64))[:, 0]
        inside = mask[0] > 0.5
        ratio, opposite = (float(one[inside].mean() / one[~inside].mean()) for one in (confined, other))
        print(f"{shape}, {measure.value}: inside / outside {ratio:.1f}; reference of the rest {opposite:.3f}")
        assert ratio >= 5 and opposite <= 0.2


def test_seeing_scores_follow_the_pictures():
    """More weight: nearer to the reference, farther from a text that wants other colours."""
    models, adapter, prompt, picture = world()
    text, sweep = "a red heart on white", read_sweep("0, 0.5, 1, 1.5", "linear")
    made = [
        sample(apply_image_prompt(models.model, adapter, prompt, Strength(one.weight)), text, 2, 8)
        for one in sweep.variants
    ]
    kept = tuple(float(prompt_kept(one, text).mean()) for one in made)
    rows = score(made, ScoreTargets((picture,), models.clip_vision, prompt_scores=kept), sweep)
    print("\n" + table(rows))
    assert rows[0].reference < rows[1].reference < rows[2].reference and rows[3].reference > rows[1].reference
    assert kept[0] > kept[1] > kept[2] > kept[3] and rows[3].palette < rows[0].palette - 20


def test_seeing_attention_graph_and_its_trace(client):
    """Two overlays and an image whose file tells what went in."""
    graph = graph_file("seeing_attention_maps", client.object_info())
    set_inputs(graph, "KSampler", steps=4)
    set_inputs(graph, "IPAdapterCoreApply", "Apply 1", end_percent=0.6)
    outputs = client.run(graph)
    assert len(outputs[node(graph, "SaveImage", "Overlays")]["images"]) == 2
    saved = outputs[node(graph, "IPAdapterCoreSaveTrace")]
    file = Image.open(io.BytesIO(client.picture(saved["images"][0])))
    trace = json.loads(file.text["ipadapter_core"])
    assert json.loads(file.text["prompt"]).keys() == graph.keys()  # as Save Image writes it
    first, second = trace["applications"]
    print("\n".join(saved["text"]), "| steps", first["steps_active"], second["steps_active"])
    assert trace["steps"] == 4 and second["steps_active"] == [0, 1, 2, 3] and first["steps_active"] == [0, 1, 2]
    assert first["adapter"] == ADAPTER.name and first["masked"] and first["layer_count"] == len(world()[1].spec.layers)
    (reference,) = first["references"]
    assert reference["tokens"] == 4 and reference["seen"]["size"] == [64, 64]
    assert reference["seen"]["sha256"] != second["references"][0]["seen"]["sha256"]


def test_seeing_comparison_graph(client):
    """A grid, a plot, and a table with a line for each variant."""
    graph = graph_file("seeing_weights_compared", client.object_info())
    set_inputs(graph, "KSampler", steps=2)
    set_inputs(graph, "EmptyChromaRadianceLatentImage", batch_size=1)
    set_inputs(graph, "IPAdapterCoreSweep", weights="0, 1", presets="linear, weak middle")
    outputs = client.run(graph)
    lines = "\n".join(outputs[node(graph, "IPAdapterCoreScore")]["text"]).splitlines()
    print("\n".join(lines))
    assert sum("weight" in line and "balanced" not in line for line in lines) == 4
    assert all(len(outputs[node(graph, "SaveImage", title)]["images"]) == 1 for title in ("Grid", "Plot"))
