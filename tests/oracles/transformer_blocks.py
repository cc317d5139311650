"""The blocks of FLUX, Chroma and Anima, written out, with a place for an adapter's processor.

It is given the query as the model has normalised it and, for FLUX and Chroma, the raw one that was not.
"""

import math

import torch
from pack.tools.miniature.transformers import (
    ANIMA,
)
from torch.nn.functional import gelu, linear, silu

from comfy.ldm.flux.math import apply_rope

WEIGHT = 0.8


def attend(query, key, value):
    """softmax(q k / sqrt d) v over (B, H, L, D / H), in float64 -> (B, L, D)."""
    query, key, value = query.double(), key.double(), value.double()
    scores = (query @ key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


def heads(tokens, count):
    return tokens.unflatten(-1, (count, -1)).transpose(1, 2)


def rms(tokens, eps=1e-5):
    tokens = tokens.double()
    return tokens / (tokens.square().mean(-1, keepdim=True) + eps).sqrt()


class Nothing:
    """No adapter."""

    def inside(self, number, query, raw):
        return 0

    def after(self, number, query):
        return 0


def stated_double(block, number, processor):
    """One double-stream block, from its equations."""

    def stream(tokens, attn, norm, mod):
        shifted = norm(tokens) * (1 + mod.scale) + mod.shift
        query, key, value = (heads(part, block.num_heads) for part in attn.qkv(shifted).chunk(3, -1))
        return attn.norm.query_norm(query), attn.norm.key_norm(key), value, query

    def finish(tokens, attn, out, mods, norm, mlp):
        tokens = tokens + attn.proj(out.to(tokens)) * mods[0].gate
        return tokens + mlp(norm(tokens) * (1 + mods[1].scale) + mods[1].shift) * mods[1].gate

    def forward(img, txt, vec, pe, **_):
        image_mods, text_mods = (block.img_mod(vec), block.txt_mod(vec)) if block.modulation else vec
        query, key, value, raw = stream(img, block.img_attn, block.img_norm1, image_mods[0])
        text = stream(txt, block.txt_attn, block.txt_norm1, text_mods[0])[:3]
        whole = [torch.cat(pair, 2) for pair in zip(text, (query, key, value), strict=True)]
        out = attend(*apply_rope(whole[0], whole[1], pe), whole[2])
        text_out, image_out = out[:, : txt.shape[1]], out[:, txt.shape[1] :] + processor.inside(number, query, raw)
        image = finish(img, block.img_attn, image_out, image_mods, block.img_norm2, block.img_mlp)
        image = (image + processor.after(number, query)).to(img)
        return image, finish(txt, block.txt_attn, text_out, text_mods, block.txt_norm2, block.txt_mlp)

    return forward


def stated_single(block, number, processor):
    """One single-stream block, from its equations."""

    def forward(x, vec, pe, **_):
        mod = block.modulation(vec)[0] if block.modulation else vec
        joint = block.linear1(block.pre_norm(x) * (1 + mod.scale) + mod.shift)
        query, key, value = (heads(part, block.num_heads) for part in joint[..., : 3 * x.shape[-1]].chunk(3, -1))
        raw, query, key = query, block.norm.query_norm(query), block.norm.key_norm(key)
        out = attend(*apply_rope(query, key, pe), value) + processor.inside(number, query, raw)
        mlp = gelu(joint[..., 3 * x.shape[-1] :], approximate="tanh")
        return x + block.linear2(torch.cat((out.to(x), mlp), -1)) * mod.gate

    return forward


def state_flux(network, processor):
    for number, block in enumerate(network.double_blocks):
        block.forward = stated_double(block, number, processor)
    for number, block in enumerate(network.single_blocks):
        block.forward = stated_single(block, len(network.double_blocks) + number, processor)


def stated_anima(block, number, weights, tokens):
    """LuciferTC: after the whole block, gated by time; rows whose tokens are all zero get nothing."""
    original = type(block).forward
    seen = {}
    block.cross_attn.register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))

    def forward(x, time, *args, **kwargs):
        out = original(block, x, time, *args, **kwargs)
        name = f"blocks.{number}."
        part = {key.removeprefix(name): value.double() for key, value in weights.items() if key.startswith(name)}
        query = block.cross_attn.q_norm(heads(block.cross_attn.q_proj(seen["x"]), ANIMA["num_heads"]))
        key, value = (
            heads(
                linear(tokens.double(), part[f"ip_{side}_proj.weight"], part[f"ip_{side}_proj.bias"]),
                ANIMA["num_heads"],
            )
            for side in "kv"
        )
        gate = linear(silu(time.double()), part["adaln_ip.1.weight"], part["adaln_ip.1.bias"])
        alive = (tokens.abs().sum((1, 2)) > 0).view(-1, 1, 1)
        addition = attend(query, key, value) * alive * gate * WEIGHT
        return (out + addition.unflatten(1, out.shape[1:4])).to(out)

    return forward


def merge(network, weights):
    """The bundled LoRA, all of it, into the weights: W + B A."""
    found = 0
    for name, parameter in network.named_parameters():
        path = f"lora.base_model.model.{name.removesuffix('.weight')}"
        if f"{path}.lora_A.weight" in weights:
            parameter += weights[f"{path}.lora_B.weight"] @ weights[f"{path}.lora_A.weight"]
            found += 1
    assert found == 10 * ANIMA["num_blocks"]
