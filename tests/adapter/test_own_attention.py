"""A cross-attention of the adapter's own, folded into matrices of a reference: exact, and what PuLID's encoder makes."""

import pytest
import torch
from pack.ipadapter_core.adapter.own_attention import OwnAttentionLayer
from pack.ipadapter_core.attention.folded_attention import PLACES, folded_attention
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.checkpoint.layouts import canonical
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.tools.miniature.pulid import face_features, part_of, pulid_flux, stated_attention, stated_former
from pack.tools.miniature.transformers import adapter, noise, prompt_for, tiny_transformer, weights_of

pytestmark = [pytest.mark.engine, pytest.mark.adapters, pytest.mark.dit]


def layer_of(weights, dtype):
    """The first layer of a file, and its description."""
    spec = detect({canonical(key): tuple(one.shape) for key, one in weights.items()}, "pulid")
    layer = OwnAttentionLayer(spec, spec.layers[0], torch.nn, dtype=dtype)
    layer.load_state_dict({key: one.to(dtype) for key, one in part_of(weights, "pulid_ca.0.").items()})
    return layer.requires_grad_(False)


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
@pytest.mark.parametrize("chunks", [1, 2, 4])
def test_folding_is_exact(dtype, limit, chunks, capsys):
    """Two matrices in place of norm, query and output projection; the keys of a chunk serve all of its images."""
    weights = weights_of(pulid_flux(1, 192, context=40, inner=384))
    layer = layer_of(weights, dtype)
    tokens, hidden = noise(chunks, 5, 40).to(dtype), 3 + 2 * noise(4, 11, 192, seed=6).to(dtype)
    key, value = layer.key_value(tokens)
    normed = torch.nn.functional.layer_norm(hidden, (192,))
    found = folded_attention(normed, layer.folded_key(key), layer.folded_value(value))
    own = tokens.repeat_interleave(4 // chunks, dim=0).double()
    wanted = stated_attention(part_of(weights, "pulid_ca.0."), own, hidden.double(), 128, joined=False)
    error = float((found - wanted).abs().max() / wanted.abs().max())
    with capsys.disabled():
        print(f"\n  folded, {str(dtype).removeprefix('torch.')}, {chunks} chunks: error {error:.1e}")
    assert error <= limit


def test_the_id_former_equals_the_equations(capsys):
    """Learned latents and identity tokens that read five hidden states in turn, two layers each; a batch as a loop."""
    weights = weights_of(pulid_flux(2, 256))
    projector = adapter(weights).network.image_proj
    features = tuple(torch.cat(pair) for pair in zip(face_features(8), face_features(9), strict=True))
    with torch.no_grad():
        found = projector(features)
    wanted = stated_former(weights, "pulid_encoder.", features)
    error = float((found - wanted).abs().max() / wanted.abs().max())
    with capsys.disabled():
        print(f"\n  IDFormer error {error:.1e}")
    assert found.shape == (2, 6, 64) and error <= 5e-6


def test_what_a_run_holds_of_a_person():
    """Two matrices a layer, positive and negative: no weight of the adapter. At FLUX.1's sizes that is 252 MB in bfloat16."""
    ip_adapter = adapter(weights_of(pulid_flux(2, 256, inner=384)))
    patched = apply_image_prompt(
        tiny_transformer("FLUX"), ip_adapter, prompt_for(ip_adapter, face_features()), Strength()
    )
    (application,) = applications_of(patched.model_options["transformer_options"])
    cpu = torch.device("cpu")
    application.placed(cpu, torch.bfloat16)
    assert application.models() == []
    assert application.bytes_on(cpu) == _held(layers=2, tokens=6, heads=3, width=256)
    assert _held(layers=20, tokens=32, heads=16, width=3072) / 1e6 == pytest.approx(252.0, abs=0.1)
    bank = application.banks[0].bank
    assert all(key.shape[-1] == value.shape[-1] == 384 for key, value in zip(bank.keys, bank.values, strict=True))


def _held(layers, tokens, heads, width):
    """Bytes in bfloat16: rows of A with their constants, rows of B; for the positive and the negative."""
    return layers * 2 * tokens * heads * ((width + PLACES) + width) * 2
