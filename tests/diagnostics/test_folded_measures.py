"""Attention maps of layers with projections of their own: what the unfolded attention would show, stated in float64."""

import math

import pytest
import torch
from pack.ipadapter_core.diagnostics.attention_maps import attention_maps
from pack.ipadapter_core.diagnostics.recording import Measure, Recording, RunNotes
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families import flux_behind
from pack.ipadapter_core.patchers.hooks.wrappers import RECORDING, applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import FAMILIES
from pack.tests.oracles.transformer_world import features_of, world
from pack.tools.miniature.pulid import part_of, stated_former
from pack.tools.miniature.transformers import predict, prompt_for, some_call
from torch.nn.functional import layer_norm

pytestmark = [pytest.mark.adapters, pytest.mark.seeing]

CASE = "FLUX PuLID"


def stated_maps(part, hidden, tokens):
    """Share and contribution (R, L) of the references' tokens (R, N, C), all under one softmax, for hidden states (L, D)."""
    both = tokens.flatten(0, 1)
    context = layer_norm(both, both.shape[-1:], part["norm1.weight"], part["norm1.bias"])
    query = (hidden * part["norm2.weight"] + part["norm2.bias"]) @ part["to_q.weight"].T
    key, value = (context @ part["to_kv.weight"].T).chunk(2, -1)
    query, key, value = (one.unflatten(-1, (-1, 128)).transpose(0, 1) for one in (query, key, value))
    weights = (query @ key.mT / math.sqrt(128)).softmax(-1)  # (H, L, R N)
    shares, brought = [], []
    for own in torch.arange(len(both)).chunk(len(tokens)):
        shares.append(weights[..., own].sum(-1).mean(0))
        out = (weights[..., own] @ value[:, own]).transpose(0, 1).flatten(1) @ part["to_out.weight"].T
        brought.append(out.norm(dim=-1))
    contribution = torch.stack(brought)
    return torch.stack(shares), contribution / contribution.sum(0).mean()


def test_maps_are_those_of_the_unfolded_attention(monkeypatch, capsys):
    """Two references in one application."""
    name, model, ip_adapter, _ = world(CASE)
    faces = [features_of(CASE, seed) for seed in (8, 11)]
    watched = apply_image_prompt(model, ip_adapter, prompt_for(ip_adapter, *faces), Strength()).clone()
    recording = Recording()
    watched.set_model_patch(recording, RECORDING)
    recording.begin(RunNotes((1.0, 0.0), tuple(applications_of(watched.model_options["transformer_options"])), ((),)))
    seen, plain = [], flux_behind.folded_attention
    monkeypatch.setattr(flux_behind, "folded_attention", lambda *given: seen.append(given[0]) or plain(*given))
    predict(watched, some_call(name))
    weights = FAMILIES[CASE].weights()
    tokens = torch.cat([stated_former(weights, "pulid_encoder.", one) for one in faces])
    stated = [
        stated_maps(part_of(weights, f"pulid_ca.{number}."), hidden[-1].double(), tokens)
        for number, hidden in enumerate(seen)
    ]
    assert len(seen) == len(ip_adapter.spec.layers) == 2
    for measure, wanted in zip((Measure.SHARE, Measure.CONTRIBUTION), zip(*stated, strict=True), strict=True):
        maps = attention_maps(recording, measure, (8, 6))[:, 0, ::2, ::2]
        expected = torch.stack(wanted).mean(0).unflatten(-1, (4, 3))
        error = float((maps - expected).abs().max() / expected.max())
        with capsys.disabled():
            print(f"\n  {measure.value} error {error:.1e}")
        assert error < 1e-5
