"""Calls as a ComfyUI after 0.30 makes them, for each kind of model.

Written from ComfyUI's comfy/ldm/modules/attention.py (05080f60) and comfy/ldm/cosmos/predict2.py (523fba4d): a layer hands
containers instead of tensors and says which attention it prefers, an attention function empties the containers, and who
overrides it gets tensors.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

import comfy.ldm.cosmos.predict2 as predict2
import comfy.ldm.flux.layers as flux_layers
import comfy.ldm.modules.attention as attention
import comfy.ldm.modules.diffusionmodules.mmdit as mmdit
import comfy.ldm.wan.model as wan

OVERRIDE = "optimized_attention_override"


class Container:
    """Holds a tensor until somebody takes it: once."""

    def __init__(self, tensor):
        self.tensor = tensor

    def peek(self):
        """Reads."""
        assert self.tensor is not None, "read after it was taken"
        return self.tensor

    def take(self):
        """Reads once, and is empty then."""
        taken, self.tensor = self.peek(), None
        return taken


class Preference(SimpleNamespace):
    """What a layer's checkpoint prefers: a function, or none."""


def preference() -> Preference:
    """One that is told from all others."""
    return Preference(function=lambda *args, **kwargs: None, config={"attention": "comfy_kitchen_int8"})


def newer_unet(monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> Callable[[], None]:
    """Every cross-attention prefers something; one that ComfyUI computes itself is told so and given containers."""
    wanted, told, function = [], [], attention.optimized_attention

    def newer(query, key, value, *args, preferred_attention=None, **kwargs):
        told.append(preferred_attention)
        return function(*(_taken(one) for one in (query, key, value)), *args, **kwargs)

    def forward(self, x, context=None, value=None, mask=None, transformer_options=None):
        context = x if context is None else context
        parts = (self.to_q(x), self.to_k(context), self.to_v(context if value is None else value))
        options = {"preferred_attention": self.comfy_attention, "transformer_options": transformer_options}
        return self.to_out(newer(*map(Container, parts), self.heads, attn_precision=self.attn_precision, **options))

    for module in network.modules():
        if isinstance(module, attention.CrossAttention):
            monkeypatch.setattr(module, "comfy_attention", preference(), raising=False)
            wanted.append(module.comfy_attention)
    monkeypatch.setattr(attention.CrossAttention, "forward", forward)
    monkeypatch.setattr(attention, "optimized_attention", newer)

    def check():
        assert all(told.count(one) == told.count(wanted[0]) > 0 for one in wanted)

    return check


def newer_flux(monkeypatch: pytest.MonkeyPatch, _: nn.Module) -> Callable[[], None]:
    """Patches get containers, which they leave full, and words that nobody knows yet."""
    asked = []

    def told_more(patch):
        def call(*args, **kwargs):
            asked.append(patch)
            packed = [Container(one) for one in args[:3]] if len(args) >= 3 else list(args[:1])
            out = patch(*packed, *args[3:] if len(args) >= 3 else args[1:], **kwargs, preferred_attention="int8")
            assert all(one.take() is not None for one in packed if isinstance(one, Container))
            return out

        return call

    for kind in (flux_layers.DoubleStreamBlock, flux_layers.SingleStreamBlock):
        monkeypatch.setattr(kind, "forward", _with_patches(kind.forward, told_more))

    def check():
        assert asked

    return check


def _with_patches(forward, change):
    def newer(self, *args, transformer_options, **kwargs):
        patches = {name: list(map(change, given)) if name.startswith("attn1") else given
                   for name, given in transformer_options.get("patches", {}).items()}  # fmt: skip
        return forward(self, *args, transformer_options=transformer_options | {"patches": patches}, **kwargs)

    return newer


def newer_sd3(monkeypatch: pytest.MonkeyPatch, _: nn.Module) -> Callable[[], None]:
    """What `_newer_override` says, in SD3's blocks."""
    return _newer_override(monkeypatch, mmdit)


def newer_wan(monkeypatch: pytest.MonkeyPatch, _: nn.Module) -> Callable[[], None]:
    """What `_newer_override` says, in Wan's."""
    return _newer_override(monkeypatch, wan)


def _newer_override(monkeypatch: pytest.MonkeyPatch, module: Any) -> Callable[[], None]:
    """Who overrides a block's attention gets tensors in one call and containers in the next, and further words."""
    function, told = module.optimized_attention, []

    def inner(query, key, value, *args, further=None, **kwargs):
        told.append(further)
        return function(*(_taken(one) for one in (query, key, value)), *args, **kwargs)

    def newer(query, key, value, *args, transformer_options=None, **kwargs):
        override = transformer_options.get(OVERRIDE)
        parts = (query, key, value) if len(told) % 2 else tuple(map(Container, (query, key, value)))
        options = {"transformer_options": transformer_options, "further": "a word", "_inside_attn_wrapper": True}
        if override is None:
            return inner(*parts, *args, **kwargs, **options)
        return override(inner, *parts, *args, **kwargs, **options)

    monkeypatch.setattr(module, "optimized_attention", newer)

    def check():
        assert len(told) > 1 and set(told) == {"a word"}

    return check


def newer_anima(monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> Callable[[], None]:
    """A block's operation gets containers and its layer's preference."""
    told, operation = [], predict2.torch_attention_op

    def newer(q, k, v, transformer_options=None, preferred_attention=None):
        told.append(preferred_attention)
        return operation(*(one.take() for one in (q, k, v)), transformer_options=transformer_options)

    def compute(self, q, k, v, transformer_options=None):
        packed = (Container(one) for one in (q, k, v))
        out = self.attn_op(*packed, transformer_options=transformer_options, preferred_attention="int8")
        return self.output_dropout(self.output_proj(out))

    for block in network.blocks:
        for layer in (block.self_attn, block.cross_attn):
            monkeypatch.setattr(layer, "attn_op", newer)
    monkeypatch.setattr(predict2.Attention, "compute_attention", compute)

    def check():
        assert set(told) == {"int8"}

    return check


def _taken(given: Any) -> Any:
    return given.take() if isinstance(given, Container) else given


NEWER = {
    "UNet": newer_unet,
    "FLUX": newer_flux,
    "Chroma": newer_flux,
    "SD3": newer_sd3,
    "Anima": newer_anima,
    "Wan": newer_wan,
}  # a stand-in for each kind of model; it returns what is to be checked after a call
