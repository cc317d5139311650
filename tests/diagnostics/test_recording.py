"""Attention maps against a softmax written out in float64, and what a recording must not do."""

import numpy as np
import pytest
import torch
from pack.ipadapter_core.attention.image_attention import image_attention
from pack.ipadapter_core.diagnostics.attention_maps import as_masks, attention_maps, overlays
from pack.ipadapter_core.diagnostics.record import record_attention
from pack.ipadapter_core.diagnostics.recording import MapKey, MapSum, Measure, RunNotes
from pack.ipadapter_core.errors import RecordingError, WeightError
from pack.ipadapter_core.masks.token_grid import Area
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks import model_call as hooks
from pack.ipadapter_core.patchers.hooks.torch_compile import COMPILE_KEY
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling import layer_call
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles import transformer_world as dit_world
from pack.tests.oracles.seen_queries import apply, exact_adapter, exact_model, references, sample, text, tokens_of
from pack.tools.miniature import transformers as dit

pytestmark = pytest.mark.seeing

HEADS = 4


def softmax_maps(query, keys, values, heads=HEADS):
    """Per reference, over a query (L, D) and its keys and values [(N, D)]: share of attention, norm of what is brought."""
    shares = [np.zeros(len(query)) for _ in keys]
    brought = [[] for _ in keys]
    width = query.shape[1] // heads
    for head in range(heads):
        cut = slice(head * width, (head + 1) * width)
        scores = np.concatenate([query[:, cut] @ key[:, cut].T for key in keys], axis=1) / np.sqrt(width)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        place = 0
        for number, (key, value) in enumerate(zip(keys, values, strict=True)):
            own = scores[:, place : place + len(key)]
            place += len(key)
            shares[number] += own.sum(axis=1) / heads
            brought[number].append(own @ value[:, cut])
    norms = [np.linalg.norm(np.concatenate(parts, axis=1), axis=1) for parts in brought]
    mean = sum(norms).mean()
    return np.stack(shares), np.stack([norm / mean for norm in norms])


def pixels_of(plane, latent):
    """(R, h, w) of tokens at each pixel of the latent: token (i, j) of stride s covers s pixels from s i, s j."""
    rows, columns = (-(-latent[side] // plane.shape[side + 1]) for side in (0, 1))
    strides = [2 ** int(np.round(np.log2(step))) for step in (rows, columns)]
    index = [np.minimum(np.arange(latent[side]) // strides[side], plane.shape[side + 1] - 1) for side in (0, 1)]
    return plane[:, index[0]][:, :, index[1]]


@pytest.mark.parametrize("latent", [(16, 16), (14, 18)])
def test_seeing_maps_are_the_softmax(latent, seen):
    """Two references under one mask, two images, two steps: both measures to 1e-9 of an explicit float64 softmax."""
    model = exact_model()
    adapter = exact_adapter(model)
    mask = torch.rand(1, 9, 7, generator=torch.Generator().manual_seed(3))
    shared = references(2, weights=(1.0, 0.4))
    watched, recording = record_attention(apply(model, adapter, shared, mask))
    sample(watched, text(0), text(1), (2, 4, *latent), steps=2)
    (application,) = applications_of(watched.model_options["transformer_options"])
    expected = {measure: np.zeros((2, 2, *latent)) for measure in Measure}
    calls = 0
    for call in seen:
        layer = application.blocks.index(call.block)
        banks = [adapter.bank(one.image) for one in shared]
        calls += 1
        positive = call.passes.index(0)
        weights = tokens_of(mask[0].numpy(), call.grid, (*latent, 0, 0), latent)
        for frame in range(2):
            query = call.query[positive * 2 + frame].double().numpy()
            keys = [bank.keys[layer][1].double().numpy() for bank in banks]
            values = [
                bank.values[layer][1].double().numpy() * one.weight for bank, one in zip(banks, shared, strict=True)
            ]
            share, brought = softmax_maps(query, keys, values)
            for measure, found in ((Measure.SHARE, share), (Measure.CONTRIBUTION, brought)):
                expected[measure][:, frame] += pixels_of((found * weights).reshape(2, *call.grid), latent)
    for measure in Measure:
        maps = attention_maps(recording, measure, latent).numpy()
        error = np.abs(maps - expected[measure] / calls).max() / (expected[measure] / calls).max()
        print(f"{measure.value} at {latent}: error {error:.1e} over {calls} layer calls")
        assert error < 1e-9


def test_seeing_one_block_alone(seen):
    model = exact_model()
    watched, recording = record_attention(apply(model, exact_adapter(model), references(1)))
    sample(watched, text(0), text(1), (1, 4, 16, 16))
    every, middle, by_index, ends = (
        attention_maps(recording, Measure.CONTRIBUTION, (16, 16), blocks) for blocks in ("", "middle", "6", "0-15")
    )
    assert torch.equal(middle, by_index) and torch.equal(every, ends) and not torch.equal(every, middle)
    assert len(middle.unique()) <= 4  # the middle block has 2 x 2 tokens here
    with pytest.raises(WeightError, match="found 'input 3', the model has the blocks input 1"):
        attention_maps(recording, Measure.SHARE, (16, 16), "input 3")


def test_seeing_a_recording_changes_no_picture():
    """And without Watch nothing of it is in the model."""
    model = exact_model()
    patched = apply(model, exact_adapter(model), references(2))
    watched, recording = record_attention(patched)
    plain = sample(patched, text(0), text(1), (1, 4, 16, 16), steps=2)
    assert torch.equal(sample(watched, text(0), text(1), (1, 4, 16, 16), steps=2), plain)
    assert recording.sums and not [
        key for key in patched.model_options["transformer_options"]["patches"] if "record" in key
    ]
    silent, notes = record_attention(patched, maps=False)
    sample(silent, text(0), text(1), (1, 4, 16, 16))
    assert not notes.sums and notes.run.applications
    with pytest.raises(RecordingError, match="attention_maps on"):
        attention_maps(notes, Measure.SHARE, (16, 16))


def test_seeing_a_compiled_model_is_not_looked_into(caplog):
    """ComfyUI's TorchCompileModel stands around the call: nothing is noted, and the log says why."""
    model = exact_model()
    watched, recording = record_attention(apply(model, exact_adapter(model), references(1)))
    options = watched.model_options["transformer_options"]
    assert hooks._observers(options) == (recording,)
    assert hooks._observers(options | {"wrappers": {"apply_model": {COMPILE_KEY: [None]}}}) == ()
    assert "bypass the compile node" in caplog.text


def test_seeing_a_second_run_starts_anew():
    model = exact_model()
    watched, recording = record_attention(apply(model, exact_adapter(model), references(1)))
    sample(watched, text(0), text(1), (1, 4, 16, 16), seed=5)
    alone = attention_maps(recording, Measure.CONTRIBUTION, (16, 16))
    for seed in (6, 5):
        sample(watched, text(0), text(1), (1, 4, 16, 16), seed=seed)
    assert torch.equal(attention_maps(recording, Measure.CONTRIBUTION, (16, 16)), alone)


def test_seeing_one_reference_per_frame():
    """Image i attends to reference i alone."""
    model = exact_model()
    watched, recording = record_attention(apply(model, exact_adapter(model), references(3), per_frame=True))
    sample(watched, text(0), text(1), (3, 4, 16, 16))
    share = attention_maps(recording, Measure.SHARE, (16, 16)).mean(dim=(2, 3))
    assert torch.allclose(share, torch.eye(3, dtype=share.dtype), atol=1e-12)


def test_seeing_steps_active_are_those_in_which_layers_are_called(seen):
    """The trace's steps against what hooks did at each step."""
    model = exact_model()
    watched, recording = record_attention(
        apply(model, exact_adapter(model), references(1), start_percent=0.3, end_percent=0.8)
    )
    counts = []

    def note(executor, *args, **kwargs):
        counts.append(sum(one.calls for one in recording.sums.values()))
        return executor(*args, **kwargs)

    watched.add_wrapper_with_key("calc_cond_batch", "test", note)
    sample(watched, text(0), text(1), (1, 4, 16, 16), steps=8)
    counts.append(sum(one.calls for one in recording.sums.values()))
    acted = tuple(step for step in range(8) if counts[step + 1] > counts[step])
    print("steps active", recording.run.active[0])
    assert recording.run.active == (acted,) and 0 < len(acted) < 8


def test_seeing_parts_of_a_canvas_lie_where_they_belong():
    """Two halves of an image with values of their own, one running over the edge."""
    _, recording = record_attention(exact_model())
    model = exact_model()
    application = applications_of(
        apply(model, exact_adapter(model), references(1)).model_options["transformer_options"]
    )[0]
    recording.begin(RunNotes((1.0, 0.0), (application,), ((0,),)))
    block = application.blocks[0][:2]
    for top, value in ((0.25, 1.0), (0.75, 3.0)):
        spot = MapKey(application, block, (2, 4), (4, 8), Area(top, 0.0, 0.5, 1.0), (0,))
        recording.sums[spot] = MapSum(torch.full((2, 1, 1, 8), value), 1)
    map_ = attention_maps(recording, Measure.SHARE, (8, 8))[0, 0]
    assert map_[:, 0].tolist() == [3, 3, 1, 1, 1, 1, 3, 3]


def test_seeing_masks_and_overlays():
    """The highest place of each reference is 1; hot places are white, cold ones are the dimmed image."""
    maps = torch.tensor([[[[0.0, 2.0]]], [[[0.0, 0.0]]]])
    masks = as_masks(maps)
    assert masks.tolist() == [[[0, 1]], [[0, 0]]] and as_masks(maps, 0.5).tolist() == masks.tolist()
    heat = overlays(masks, torch.full((1, 1, 2, 3), 0.5))
    assert heat.shape == (2, 1, 2, 3) and heat[0, 0, 1].min() > 0.7 and torch.allclose(heat[1], torch.tensor(0.225))


@pytest.mark.parametrize("case", [case for case in dit_world.CASES if "PuLID" not in case])
def test_seeing_transformer_families_are_the_softmax(case, monkeypatch):
    """Two references in one application, from the queries, keys and values that the family's attention itself is given."""
    name, model, ip_adapter, _ = dit_world.world(case)
    pictures = [dit_world.features_of(case, seed) for seed in (8, 11)]
    watched, recording = record_attention(
        apply_image_prompt(model, ip_adapter, dit.prompt_for(ip_adapter, *pictures), Strength())
    )
    recording.begin(RunNotes((1.0, 0.0), tuple(applications_of(watched.model_options["transformer_options"])), ((),)))
    calls = []
    monkeypatch.setattr(layer_call, "image_attention", lambda *given: calls.append(given) or image_attention(*given))
    dit.predict(watched, dit.some_call(name))
    expected = {measure: np.zeros((2, 4, 3)) for measure in Measure}
    for query, key, value, heads, _ in calls:
        query = query if query.ndim == 3 else query.transpose(1, 2).flatten(2)
        query, key, value = (part[-1].double().numpy() for part in (query, key, value))  # the positive pass is the last
        tokens = (len(key) - (len(query) if name == "SD3" else 0)) // 2
        cuts = np.cumsum([0, len(key) - 2 * tokens, tokens, tokens])
        parts = [[whole[first:last] for first, last in zip(cuts[:-1], cuts[1:], strict=True)] for whole in (key, value)]
        share, brought = softmax_maps(query[-12:], *parts, heads)
        brought = brought[1:] / brought[1:].sum(axis=0).mean()
        for measure, found in ((Measure.SHARE, share[1:]), (Measure.CONTRIBUTION, brought)):
            expected[measure] += found.reshape(2, 4, 3) / len(calls)
    for measure in Measure:
        maps = attention_maps(recording, measure, (8, 6))[:, -1].numpy()  # of a video its last frame, as above
        wanted = expected[measure].repeat(2, axis=1).repeat(2, axis=2)
        error = np.abs(maps - wanted).max() / wanted.max()
        print(f"{case}, {measure.value}: error {error:.1e} over {len(calls)} layers")
        assert error < 1e-5 and len(calls) == len(ip_adapter.spec.layers)


@pytest.mark.parametrize("case", dit_world.CASES)
def test_seeing_transformer_families_under_a_mask(case):
    """A masked reference beside an unmasked one: outside the mask the first is nowhere."""
    name, model, ip_adapter, prompt = dit_world.world(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(), dit_world.mask_of(1.0, 0.0))
    patched = apply_image_prompt(patched, ip_adapter, dit_world.other_prompt(case), Strength())
    watched, recording = record_attention(patched)
    recording.begin(
        RunNotes((1.0, 0.0), tuple(applications_of(watched.model_options["transformer_options"])), ((), ()))
    )
    dit.predict(watched, dit.some_call(name))
    for measure in Measure:
        confined, free = attention_maps(recording, measure, (8, 6))
        assert confined[..., :2].min() > 0 and confined[..., 4:].max() == 0 and free.min() > 0
