"""API prompts of every release of ComfyUI_IPAdapter_plus, held to ComfyUI's own validation, and what their words mean."""

import asyncio
import math
from pathlib import Path

import execution
import pytest
import torch
from pack.ipadapter_core.compat.pipeline import Pipeline
from pack.nodes import NODES as NATIVE
from pack.nodes.compat import OLD_NODES
from pack.nodes.file_names import check_name, known_name
from pack.nodes.folders import register_folders
from pack.tests.oracles.recorded_passes import WIDTH, sample, short_model
from pack.tools.miniature.faces import tiny_encoder
from pack.tools.miniature.files import workshop
from pack.tools.miniature.models import adapter_weights, managed, widths_of
from safetensors.torch import save_file

import nodes
from comfy_api.latest import io

pytestmark = pytest.mark.catalogue
SOCKETS = {"model": "MODEL", "ipadapter": "IPADAPTER", "image": "IMAGE", "clip_vision": "CLIP_VISION", "pos_embed": "EMBEDS",
           "image_negative": "IMAGE", "embed1": "EMBEDS", "image_style": "IMAGE", "image_composition": "IMAGE",
           "word": "COMBO", "image_1": "IMAGE", "embeds": "EMBEDS"}  # fmt: skip
WINDOW = {"start_at": 0.0, "end_at": 1.0}


class Source(io.ComfyNode):
    """Something of every type that old nodes take."""

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Source", outputs=[io.Custom(kind).Output() for kind in SOCKETS.values()])

    @classmethod
    def execute(cls):
        return io.NodeOutput()


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Our nodes where ComfyUI looks for them."""
    register_folders()
    for node in (Source, *NATIVE, *OLD_NODES):
        monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, node.GET_SCHEMA().node_id, node)


def said(node_id, **inputs):
    """What ComfyUI says about a prompt with one node; nothing when it would run it."""
    links = {name: ["source", list(SOCKETS).index(name)] for name in SOCKETS if name in inputs and inputs[name] is ...}
    prompt = {"source": {"class_type": "Source", "inputs": {}},
              "1": {"class_type": node_id, "inputs": inputs | links}}  # fmt: skip
    valid, errors, _ = asyncio.run(execution.validate_inputs("prompt", prompt, "1", {}))
    assert valid is not bool(errors)
    return "; ".join(f"{error['message']}: {error['details']}" for error in errors)


APPLIED = {"model": ..., "ipadapter": ..., "image": ...}
PROMPTS = {
    "March 2024, before embeds_scaling": ("IPAdapterAdvanced", APPLIED | WINDOW | {
        "weight": 1.0, "weight_type": "linear", "combine_embeds": "concat"}),
    "March 2024, before weight_type": ("IPAdapter", APPLIED | WINDOW | {"weight": 1.0}),
    "simple style": ("IPAdapter", APPLIED | WINDOW | {"weight": 1.0, "weight_type": "style transfer (SDXL only)"}),
    "style (SDXL)": ("IPAdapterAdvanced", APPLIED | WINDOW | {
        "weight": 1.0, "weight_type": "style transfer (SDXL)", "combine_embeds": "concat", "embeds_scaling": "V only"}),
    "composition (SDXL)": ("IPAdapterTiled", APPLIED | WINDOW | {
        "weight": 1.0, "weight_type": "composition (SDXL)", "combine_embeds": "concat", "sharpening": 0.0}),
    "style transfer and composition": ("IPAdapterBatch", APPLIED | WINDOW | {
        "weight": 1.0, "weight_type": "style transfer and composition", "embeds_scaling": "V only"}),
    "the first weight types": ("IPAdapterAdvanced", APPLIED | WINDOW | {
        "weight": 1.0, "weight_type": "channel penalty", "combine_embeds": "concat"}),
    "a weight that was allowed": ("IPAdapterAdvanced", APPLIED | WINDOW | {
        "weight": -2, "weight_type": "original", "combine_embeds": "concat", "embeds_scaling": "K+V"}),
    "a style weight that was allowed": ("IPAdapterStyleComposition", WINDOW | {
        "model": ..., "ipadapter": ..., "image_style": ..., "image_composition": ..., "weight_style": 7.5,
        "weight_composition": -3, "expand_style": False, "combine_embeds": "average", "embeds_scaling": "V only"}),
    "April 2024, five outputs fewer": ("IPAdapterWeights", {
        "weights": "1, 0", "timing": "reverse_in_out", "frames": 4, "start_frame": 0, "end_frame": 9999}),
    "before antelopev2": ("IPAdapterInsightFaceLoader", {"provider": "CPU"}),
    "September 2023, resampling": ("PrepImageForClipVision", {
        "image": ..., "interpolation": "lanczos", "crop_position": "center", "sharpening": 0.1, "add_weight": False}),
    "September 2023, apply": ("IPAdapterApply", APPLIED | {"clip_vision": ..., "weight": 1.0, "noise": 0.3}),
    "March 2024, apply": ("IPAdapterApply", APPLIED | WINDOW | {
        "clip_vision": ..., "weight": 1.0, "noise": 0.3, "weight_type": "channel penalty", "unfold_batch": True}),
    "October 2023, encoder": ("IPAdapterEncoder", {
        "clip_vision": ..., "image_1": ..., "ipadapter_plus": True, "noise": 0.0, "weight_1": 0.7}),
    "November 2023, encoded": ("IPAdapterApplyEncoded", {
        "model": ..., "ipadapter": ..., "pos_embed": ..., "embeds": ..., "weight": 1.0}),
    "nearest-exact": ("PrepImageForClipVision", {
        "image": ..., "interpolation": "nearest-exact", "crop_position": "top", "sharpening": 0.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROMPTS)
def test_catalogue_prompts_of_all_releases_are_valid(name):
    node_id, inputs = PROMPTS[name]
    assert said(node_id, **inputs) == ""


def test_catalogue_what_was_never_an_option_is_still_refused():
    inputs = APPLIED | WINDOW | {"weight": 1.0, "weight_type": "linear", "combine_embeds": "concat"}
    assert "'styl' not in" in said("IPAdapterAdvanced", **inputs | {"weight_type": "styl"})
    assert "Required input is missing: weight_type" in said("IPAdapterAdvanced", **APPLIED | WINDOW | {"weight": 1.0})
    assert "weight: found nan, expected a finite number" in said("IPAdapterAdvanced", **inputs | {"weight": math.nan})
    assert "bigger than max" in said("IPAdapterAdvanced", **inputs | {"end_at": 3.0})


def test_catalogue_a_choice_may_come_by_a_link():
    """From a node whose output is a choice, as ComfyUI allows it."""
    inputs = (
        APPLIED
        | WINDOW
        | {"weight": 1.0, "combine_embeds": "concat", "weight_type": ["source", list(SOCKETS).index("word")]}
    )
    assert said("IPAdapterAdvanced", **inputs) == ""


@pytest.fixture(scope="module")
def world():
    model = short_model()
    adapter = managed(adapter_weights("base", widths_of(model), WIDTH, feature=32))
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    return {"model": model, "ipadapter": Pipeline(adapter, tiny_encoder()).as_dict(), "image": image}


def outputs(node_id, **inputs):
    """As ComfyUI's executor computes them."""
    node = nodes.NODE_CLASS_MAPPINGS[node_id]
    run = execution.get_output_data("prompt", "1", node(), {name: [one] for name, one in inputs.items()}, v3_data={})
    return [values[0] for values in asyncio.run(run)[0]]


RENAMED = {
    "original": {"weight_type": "linear"},
    "standard": {"weight_type": "linear"},
    "prompt is more important": {"weight_type": "ease out"},
    "channel penalty": {"weight_type": "linear", "embeds_scaling": "K+mean(V) w/ C penalty"},
}


@pytest.mark.parametrize("word", RENAMED)
def test_catalogue_renamed_words_mean_what_they_meant(world, word):
    """The old word gives what the new one gives, with the weight multiplying what it did."""
    values = WINDOW | {"weight": 0.6, "combine_embeds": "concat"}
    old = outputs("IPAdapterAdvanced", **world, **values, weight_type=word)[0]
    new = outputs("IPAdapterAdvanced", **world, **values | RENAMED[word])[0]
    assert torch.equal(sample(old, steps=1), sample(new, steps=1))
    if word != "standard":
        other = outputs("IPAdapterAdvanced", **world, **values, weight_type="ease in")[0]
        assert not torch.equal(sample(old, steps=1), sample(other, steps=1))


def test_catalogue_what_came_later_has_the_value_of_before(world):
    """A prompt without weight_type is standard, one without a model name buffalo_l's, one without lead-in frames has none."""
    old, new = (
        outputs("IPAdapter", **world, weight=0.8, **WINDOW, **more)[0] for more in ({}, {"weight_type": "standard"})
    )
    assert torch.equal(sample(old, steps=1), sample(new, steps=1))
    rows = {"weights": "1, 0", "frames": 3, "start_frame": 0, "end_frame": 9999}
    curves = [outputs("IPAdapterWeights", **rows, timing=timing) for timing in ("reverse_in_out", "ease_out")]
    assert curves[0][0] == curves[1][0]
    assert outputs("IPAdapterWeights", **rows, timing="linear")[0] == [1.0, 0.5, 0.0]


NAMES = ["a.safetensors", "sub/deep/b.safetensors"]


def test_catalogue_separators_of_both_systems_find_the_file():
    for given in ("sub/deep/b.safetensors", "sub\\deep\\b.safetensors", "sub\\deep/b.safetensors"):
        assert known_name(given, NAMES) == NAMES[1]
        assert known_name(given, ["sub\\deep\\b.safetensors"]) == "sub\\deep\\b.safetensors"
        assert check_name(given, NAMES, "file") is True
    assert known_name("b.safetensors", NAMES) == "b.safetensors"
    assert check_name(None, [], "file") is True
    assert "file: found 'c', expected one of a.safetensors, sub/deep" in str(check_name("c", NAMES, "file"))
    assert "and 2 more" in str(check_name("c", [str(number) for number in range(12)], "file"))
    assert "there are none" in str(check_name("c", [], "file"))


def test_catalogue_loaders_take_both_separators(tmp_path):
    """The native loaders' validation and their own look-up, and the old loader's."""
    with workshop(tmp_path) as shop:
        place = shop.place("ipadapter", "sub/tiny.safetensors")
        save_file(adapter_weights("base", shop.widths("SD1.5"), 768, feature=1024), place)
        for name in ("sub/tiny.safetensors", "sub\\tiny.safetensors"):
            assert (
                said("IPAdapterCoreLoad", ip_adapter_name=name)
                == ""
                == said("IPAdapterModelLoader", ipadapter_file=name)
            )
            (loaded,) = outputs("IPAdapterModelLoader", ipadapter_file=name)
            assert loaded.adapter.spec.file == "tiny.safetensors"
            (native,) = outputs("IPAdapterCoreLoad", ip_adapter_name=name)
            assert native.spec.file == "tiny.safetensors"
        assert "found 'sub/other'" in said("IPAdapterCoreLoad", ip_adapter_name="sub/other")
        Path(shop.place("clip_vision", "sub/vision.safetensors")).write_bytes(b"x")
        Path(shop.place("image_prompts", "sub/style.safetensors")).write_bytes(b"x")
        assert said("IPAdapterCoreLoadEncoder", encoder_name="sub\\vision.safetensors") == ""
        assert said("IPAdapterCoreLoadPrompt", file="sub\\style.safetensors") == ""
        assert "file: found" in said("IPAdapterCoreLoadPrompt", file="sub\\other.safetensors")
