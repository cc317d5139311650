"""Programs that take the old nodes out of ComfyUI's registry and call their methods, as their public code does.

Read in November 2026: ComfyUI-Easy-Use py/nodes/adapter.py, ComfyUI-Inspire-Pack inspire/regional_nodes.py and
model_nodes.py, ComfyUI-Impact-Pack modules/impact/core.py, Steerable Motion SteerableMotion.py, and what
ComfyUI-to-Python-Extension writes.
"""

import asyncio
import copy
import os
import pickle
from types import SimpleNamespace

import execution
import pytest
import torch
from pack.ipadapter_core.compat.embeds import Embeds, embeds_of
from pack.ipadapter_core.compat.pipeline import Pipeline, pipeline_of
from pack.ipadapter_core.errors import EncoderMismatchError, ImagePromptError
from pack.nodes.compat import OLD_NODES
from pack.nodes.folders import register_folders
from pack.tests.oracles.old_callers import CALLS, METHODS, rand
from pack.tests.oracles.recorded_passes import WIDTH, noise, sample, short_model
from pack.tools.miniature.faces import PICTURE, tiny_encoder
from pack.tools.miniature.models import adapter_weights, managed, widths_of

from comfy_api.latest import io

pytestmark = pytest.mark.catalogue

register_folders()

REGISTRY = {node.GET_SCHEMA().node_id: node for node in OLD_NODES}


@pytest.fixture(scope="module")
def world():
    """A model, a base adapter and a plus adapter for it, and the image encoder of both."""
    model = short_model()
    kinds = {"base": 32, "plus": PICTURE}
    adapters = {
        kind: managed(adapter_weights(kind, widths_of(model), WIDTH, feature=feature))
        for kind, feature in kinds.items()
    }
    return SimpleNamespace(
        model=model, **adapters, encoder=tiny_encoder(), image=rand(1, 64, 64, 3), mask=rand(1, 64, 64)
    )


@pytest.fixture
def pipeline(world):
    """What a unified loader gives."""
    return Pipeline(world.base, world.encoder).as_dict()


def of(applied, **more):
    """The sampled result of a patched model."""
    return sample(applied, steps=1, **more)


@pytest.mark.parametrize("name", CALLS)
def test_catalogue_calls_of_other_packs_patch_the_model(world, pipeline, name):
    """Each gives a tuple of the old length with a patched model in front."""
    node_id, make, count = CALLS[name]
    given, named = make(world, pipeline)
    made = getattr(REGISTRY[node_id](), METHODS[node_id])(*given, **named)
    assert isinstance(made, tuple) and len(made) == count
    assert made[0] is not world.model
    frames = 2 if "Motion" in name else 1
    start = noise(frames)
    assert not torch.equal(of(made[0], latent=start), of(world.model, latent=start))
    if count == 3:
        assert made[1].ndim == 4 and made[2].ndim == 3
    else:
        assert made[1] is None


def test_catalogue_old_orders_and_new_keywords_mean_the_same(world, pipeline):
    node = REGISTRY["IPAdapterAdvanced"]()
    named = {"image": world.image, "weight": 0.7, "weight_type": "ease out", "start_at": 0.1, "end_at": 0.9}
    by_name, _ = node.apply_ipadapter(model=world.model, ipadapter=pipeline, **named)
    first, _ = node.apply_ipadapter(world.model, pipeline, world.image, 0.7, "ease out", 0.1, 0.9)
    newest, _ = node.apply_ipadapter(
        world.model, pipeline, 0.1, 0.9, 0.7, 1.0, 1.0, False, "ease out", "concat", None, world.image
    )
    expected = of(by_name)
    assert torch.equal(of(first), expected) and torch.equal(of(newest), expected)
    with pytest.raises(TypeError, match="several values for weight"):
        node.apply_ipadapter(world.model, pipeline, 0.1, 0.9, 0.7, weight=0.7)
    with pytest.raises(TypeError, match="takes 8 arguments"):
        REGISTRY["IPAdapter"]().apply_ipadapter(world.model, pipeline, world.image, 0.7, 0.0, 1.0, "standard", None, 1)


def test_catalogue_unknown_keywords_are_said_and_ignored(world, pipeline, caplog):
    node = REGISTRY["IPAdapterBatch"]()
    named = {"model": world.model, "ipadapter": pipeline, "image": world.image}
    plain, _ = node.apply_ipadapter(**named)
    more, _ = node.apply_ipadapter(**named, image_schedule=[0], tile_blur=3)
    assert torch.equal(of(plain), of(more))
    assert "image_schedule has no effect" in caplog.text and "tile_blur has no effect" in caplog.text


def test_catalogue_weights_for_frames_act_one_by_one(world, pipeline):
    """Steerable Motion's list: frame i has weight i."""
    node = REGISTRY["IPAdapterBatch"]()
    named = {"model": world.model, "ipadapter": pipeline, "image": rand(2, 64, 64, 3)}
    start = noise(2)
    both = of(node.apply_ipadapter(**named, weight=[1.0, 0.0])[0], latent=start)
    full = of(node.apply_ipadapter(**named, weight=1.0)[0], latent=start)
    bare = of(world.model, latent=start)
    assert torch.allclose(both[0], full[0], atol=1e-5) and torch.allclose(both[1], bare[1], atol=1e-5)
    assert not torch.allclose(both[1], full[1], atol=1e-3)


def test_catalogue_easy_use_reads_and_changes_the_pipeline(world, pipeline):
    """What its load_model does with a pipeline of ours."""
    assert pipeline["clipvision"]["model"] is world.encoder and pipeline["ipadapter"]["model"]
    assert "insightface" in pipeline and pipeline["insightface"]["model"] is None
    assert os.path.basename(pipeline["ipadapter"]["file"]) == "tiny.safetensors"
    weights = pipeline["ipadapter"]["model"]
    assert "ip_adapter" in weights and weights["ip_adapter"]["1.to_k_ip.weight"].shape[1] == WIDTH
    assert "proj.weight" in weights["image_proj"] and "latents" not in weights["image_proj"]
    other = tiny_encoder()
    changed = {**pipeline, "clipvision": {"file": "other.safetensors", "model": other}}
    changed["insightface"]["model"] = "analysis"
    assert pipeline_of(changed).encoder is other
    assert pipeline_of(changed).adapter is world.base and pipeline_of(changed).analysis == "analysis"
    assert pipeline_of(weights).adapter is world.base


def test_catalogue_easy_use_combines_embeds_with_torch(world, pipeline):
    """Its ApplyEncoder puts tensors together by itself, and hands a lone one on in a tuple."""
    encoder = REGISTRY["IPAdapterEncoder"]()
    made = [
        encoder.encode(pipeline, rand(1, 64, 64, 3, seed=seed), 1.0, None, clip_vision=world.encoder) for seed in (1, 2)
    ]
    positive, negative = (torch.cat(list(parts), dim=0) for parts in zip(*made, strict=True))
    assert type(positive) is torch.Tensor and positive.shape == (2, 32)
    named = (1.0, "linear", 0.0, 1.0)
    embeds = REGISTRY["IPAdapterEmbeds"]()
    mixed, _ = embeds.apply_ipadapter(
        world.model, pipeline, positive, *named, neg_embed=negative, attn_mask=None, clip_vision=world.encoder,
        embeds_scaling="V only",
    )  # fmt: skip
    both, _ = REGISTRY["IPAdapterAdvanced"]().apply_ipadapter(
        model=world.model, ipadapter=pipeline, image=torch.cat([rand(1, 64, 64, 3, seed=seed) for seed in (1, 2)])
    )
    expected, bare = of(both), of(world.model)
    assert torch.linalg.norm(of(mixed) - expected) < 1e-4 * torch.linalg.norm(expected - bare)
    lone, _ = embeds.apply_ipadapter(world.model, pipeline, (made[0][0],), *named)
    assert not torch.equal(of(lone), of(world.model))
    average = torch.mean(positive, dim=0).unsqueeze(0)
    (ours,) = REGISTRY["IPAdapterCombineEmbeds"]().batch(made[0][0], method="average", embed2=made[1][0])
    assert torch.allclose(ours, average, atol=1e-6)


def test_catalogue_regions_by_method(world, pipeline):
    """Easy-Use's regional nodes join params themselves."""
    region = REGISTRY["IPAdapterRegionalConditioning"]()
    words = [[torch.zeros(1, 7, WIDTH), {}]]
    params, positive, negative = region.conditioning(
        world.image, 0.8, 1.0, "linear", 0.0, 1.0, mask=world.mask, positive=words, negative=words
    )
    assert positive[0][1]["mask_strength"] == 1.0 and negative[0][1]["set_area_to_bounds"] is False
    joined = {column: params[column] + params[column] for column in params}
    assert REGISTRY["IPAdapterCombineParams"]().combine(params, params)[0]["weight"] == joined["weight"]
    model, image = REGISTRY["IPAdapterFromParams"]().apply_ipadapter(
        world.model, pipeline, clip_vision=None, combine_embeds="concat", embeds_scaling="V only", image_negative=None,
        ipadapter_params=joined,
    )  # fmt: skip
    assert image is None and not torch.equal(of(model), of(world.model))


def test_catalogue_embeds_are_tensors_that_know_what_they_are(world, pipeline):
    """A copy and a pickle keep kind and both values; whatever is computed from them is a plain tensor."""
    (embeds, _) = REGISTRY["IPAdapterEncoder"]().encode(pipeline, world.image, 0.5)
    assert isinstance(embeds, Embeds) and isinstance(embeds, torch.Tensor) and type(embeds * 2) is torch.Tensor
    for copied in (pickle.loads(pickle.dumps(embeds)), copy.deepcopy(embeds)):
        assert torch.equal(copied.as_plus, embeds.as_plus) and copied.kind is embeds.kind
        assert torch.equal(copied.corrected, embeds.corrected)
    with pytest.raises(ImagePromptError, match="found str, expected what IPAdapter Encoder"):
        embeds_of("embeds")


def test_catalogue_embeds_of_another_kind_are_refused_where_they_come_in(world):
    """The sentence names what was found and what the adapter reads."""
    base, plus = (Pipeline(one, world.encoder).as_dict() for one in (world.base, world.plus))
    encoder, embeds = REGISTRY["IPAdapterEncoder"](), REGISTRY["IPAdapterEmbeds"]()
    values = (1.0, "linear", 0.0, 1.0)
    (pooled, _), (hidden, nothing) = (encoder.encode(one, world.image, 1.0) for one in (base, plus))
    with pytest.raises(EncoderMismatchError, match=r"pos_embed: found penultimate_hidden_states.*reads image_embeds"):
        embeds.apply_ipadapter(world.model, base, hidden, *values)
    with pytest.raises(EncoderMismatchError, match=r"pos_embed: found image_embeds.*reads penultimate_hidden_states"):
        embeds.apply_ipadapter(world.model, plus, pooled, *values)
    with pytest.raises(EncoderMismatchError, match=r"neg_embed: found penultimate_hidden_states"):
        embeds.apply_ipadapter(world.model, base, pooled, *values, neg_embed=nothing)
    with pytest.raises(EncoderMismatchError, match=r"pos_embed: found a tensor of shape \[1, 31\]"):
        embeds.apply_ipadapter(world.model, base, torch.zeros(1, 31), *values)
    with pytest.raises(ImagePromptError, match="cannot be combined"):
        REGISTRY["IPAdapterCombineEmbeds"]().batch(pooled, "concat", hidden)


def comfyui_runs(node_id, **inputs):
    """The outputs as ComfyUI's own executor computes them."""
    node = REGISTRY[node_id]
    run = execution.get_output_data(
        "prompt", "1", node(), {name: [value] for name, value in inputs.items()}, v3_data={}
    )
    outputs, *_ = asyncio.run(run)
    return outputs


def test_catalogue_comfyui_executes_the_same_class_as_ever(world, pipeline):
    """Its executor calls the old method and finds the declared outputs."""
    values = {"weight": 0.8, "weight_type": "linear", "combine_embeds": "concat", "start_at": 0.0, "end_at": 1.0,
              "embeds_scaling": "V only", "results": "corrected"}  # fmt: skip
    (models,) = comfyui_runs("IPAdapterAdvanced", model=world.model, ipadapter=pipeline, image=world.image, **values)
    by_method = REGISTRY["IPAdapterAdvanced"]().apply_ipadapter(
        model=world.model, ipadapter=pipeline, image=world.image, weight=0.8
    )
    assert torch.equal(of(models[0]), of(by_method[0]))
    assert len(comfyui_runs("IPAdapterWeights", weights="1", timing="custom")) == 6
    assert isinstance(REGISTRY["IPAdapterAdvanced"].GET_NODE_INFO_V1()["input"]["required"]["weight_type"][0], str)
    assert REGISTRY["IPAdapterAdvanced"].GET_NODE_INFO_V1()["input"]["required"]["weight_type"][0] == io.Combo.io_type
