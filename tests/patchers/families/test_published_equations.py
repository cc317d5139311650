"""InstantX on FLUX.1 and Chroma, XLabs on Chroma, LuciferTC on Anima: against each published processor, stated anew in float64.

The statements replace whole blocks of ComfyUI's models, so that what our hooks compute is computed without any hook.
"""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_blocks import WEIGHT, Nothing, attend, heads, merge, rms, state_flux, stated_anima
from pack.tools.miniature.transformers import (
    ANIMA,
    CHROMA,
    FLUX,
    adapter,
    instantx_flux,
    lucifer,
    noise,
    perceiver,
    predict,
    prompt_for,
    relative,
    some_call,
    tiny_transformer,
    weights_of,
    xlabs,
)
from torch.nn.functional import gelu, layer_norm, linear

pytestmark = pytest.mark.dit

LIMIT = 5e-6


def instantx_tokens(weights, features):
    part = {key.removeprefix("image_proj."): value.double() for key, value in weights.items()}
    hidden = gelu(linear(features.double(), part["proj.0.weight"], part["proj.0.bias"]))
    tokens = linear(hidden, part["proj.2.weight"], part["proj.2.bias"]).view(
        len(features), -1, len(part["norm.weight"])
    )
    return layer_norm(tokens, tokens.shape[-1:], part["norm.weight"], part["norm.bias"])


def xlabs_tokens(weights, features):
    part = {key.removeprefix("ip_adapter_proj_model."): value.double() for key, value in weights.items()}
    tokens = linear(features.double(), part["proj.weight"], part["proj.bias"]).view(
        len(features), -1, len(part["norm.weight"])
    )
    return layer_norm(tokens, tokens.shape[-1:], part["norm.weight"], part["norm.bias"])


class InstantX:
    """Added to attention before its projection: k normalised, v raw, q before the rotation."""

    def __init__(self, weights, features, blocks):
        self.weights, self.tokens = weights, instantx_tokens(weights, features)

    def inside(self, number, query, raw):
        key, value = (
            heads(
                linear(self.tokens, self.weights[f"ip_adapter.{number}.to_{part}_ip.weight"].double()), query.shape[1]
            )
            for part in "kv"
        )
        return WEIGHT * attend(query, rms(key), value)

    def after(self, number, query):
        return 0


class XLabs:
    """Added to the image's tokens after a double block."""

    def __init__(self, weights, features, blocks):
        self.weights, self.tokens = weights, xlabs_tokens(weights, features)

    def inside(self, number, query, raw):
        return 0

    def after(self, number, query):
        name = f"double_blocks.{number}.processor.ip_adapter_double_stream_"
        part = {key.removeprefix(name): value.double() for key, value in self.weights.items() if key.startswith(name)}
        key, value = (
            heads(linear(self.tokens, part[f"{side}_proj.weight"], part[f"{side}_proj.bias"]), query.shape[1])
            for side in "kv"
        )
        return WEIGHT * attend(query, key, value)


def measure(name, ip_adapter, features, state, capsys, title):
    """Base agreement and error over effect, on a positive and a negative image in one batch."""
    model, call = tiny_transformer(name), some_call(name)
    positive, negative = features
    ours_plain = predict(model, call)
    patched = apply_image_prompt(
        model, ip_adapter, prompt_for(ip_adapter, positive, negative=negative), Strength(WEIGHT)
    )
    ours = predict(patched, call, (0, 1))
    assert torch.equal(predict(model, call), ours_plain), "the model that went in has changed"
    network = model.model.diffusion_model
    state(network, None)
    plain = predict(model, call)
    state(network, torch.cat((positive, negative)))
    wanted = predict(model, call)
    base, effect = relative(ours_plain - plain, plain), relative(wanted - plain, plain)
    error = relative(ours - wanted, wanted - plain)
    with capsys.disabled():
        print(f"\n  {title:18} base {base:.1e}  effect {effect:.2f}  error {error:.1e}")
    assert effect > 0.05
    assert error <= LIMIT


KINDS = {"InstantX": (InstantX, instantx_flux(5, 256, 64)), "XLabs": (XLabs, xlabs(2, 256, 64))}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["FLUX", "Chroma"])
def test_flux_and_chroma_equal_the_published_processor(name, kind, capsys):
    """Double and single blocks, with and without modulations of their own."""
    assert FLUX["depth"] == CHROMA["depth"] == 2
    processor, shapes = KINDS[kind]
    weights = weights_of(shapes)

    def state(network, features):
        state_flux(network, Nothing() if features is None else processor(weights, features, 2))

    features = noise(1, 48, seed=8), noise(1, 48, seed=9)
    measure(name, adapter(weights), features, state, capsys, f"{name} {kind}")


@pytest.mark.parametrize("negative", ["zeros", "an image"])
def test_anima_equals_the_published_processor(negative, capsys):
    """With the whole LoRA: self-attention, cross-attention and MLP of every block."""
    weights = weights_of(lucifer(ANIMA["num_blocks"], ANIMA["model_channels"]))
    weights = {key: value * (0.3 if "lora" in key else 1) for key, value in weights.items()}

    def state(network, features):
        if features is not None:
            merge(network, weights)
            for number, block in enumerate(network.blocks):
                block.forward = stated_anima(block, number, weights, features)

    against = noise(1, 9, 48, seed=9) * (negative != "zeros")
    measure("Anima", adapter(weights), (noise(1, 9, 48, seed=8), against), state, capsys, f"Anima, {negative}")


def perceived(weights, features):
    """The resampler's tokens, its attentions by PyTorch's own module: features less their mean, queries that read them."""
    part = {key.removeprefix("resampler."): value.double() for key, value in weights.items()}

    def norm(name, tokens):
        return layer_norm(tokens, tokens.shape[-1:], part[f"{name}.weight"], part[f"{name}.bias"])

    def attention(name, query, source):
        module = torch.nn.MultiheadAttention(query.shape[-1], 8, batch_first=True, dtype=torch.float64)
        module.load_state_dict({key: part[f"{name}.{key}"] for key in module.state_dict()})
        return module(query, source, source)[0]

    picture = linear(features.double() - part["ip_centroid"], part["kv_proj.weight"], part["kv_proj.bias"])
    tokens = part["queries"].expand(len(features), -1, -1)
    for number in range(2):
        name = f"blocks.{number}"
        tokens = tokens + attention(
            f"{name}.xattn", norm(f"{name}.q_norm_x", tokens), norm(f"{name}.kv_norm_x", picture)
        )
        own = norm(f"{name}.norm_s", tokens)
        tokens = tokens + attention(f"{name}.sattn", own, own)
        hidden = linear(norm(f"{name}.norm_f", tokens), part[f"{name}.ffn.0.weight"], part[f"{name}.ffn.0.bias"])
        tokens = tokens + linear(gelu(hidden), part[f"{name}.ffn.2.weight"], part[f"{name}.ffn.2.bias"])
    return linear(norm("out_norm", tokens), part["out.weight"], part["out.bias"])


def stated_cross_attention(attn, number, weights, tokens):
    """Text's attention and the factor times the image's, then the projection of both; keys are not normalised."""

    def forward(x, context=None, *args, **kwargs):
        query = attn.q_norm(heads(attn.q_proj(x), attn.n_heads))
        text_key, text_value = (heads(layer(context), attn.n_heads) for layer in (attn.k_proj, attn.v_proj))
        out = attend(query, attn.k_norm(text_key), text_value)
        key, value = (
            heads(linear(tokens, weights[f"to_{side}_ip.{number}.weight"].double()), attn.n_heads) for side in "kv"
        )
        out = out + WEIGHT * weights[f"ip_gate.{number}"].double() * attend(query, key, value)
        return attn.output_proj(out.to(x))

    return forward


def test_anima_with_pe_core_equals_the_published_processor(capsys):
    """Before the cross-attention's projection, with a factor for each block, in both passes."""
    weights = weights_of(perceiver(ANIMA["num_blocks"], ANIMA["model_channels"]))

    def state(network, features):
        if features is not None:
            tokens = perceived(weights, features).detach()
            for number, block in enumerate(network.blocks):
                block.cross_attn.forward = stated_cross_attention(block.cross_attn, number, weights, tokens)

    features = noise(1, 9, 48, seed=8), noise(1, 9, 48, seed=9)
    measure("Anima", adapter(weights), features, state, capsys, "Anima PE-Core")
