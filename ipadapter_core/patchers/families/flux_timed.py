"""FLUX.1 and Chroma, in every block's attention: image tokens that change with the timestep (InstantCharacter).

    out += weight * mask * Attn(norm_q(q), norm_k(W_k t), W_v t) before the block's projection, with q before the model's norm

ComfyUI hands on the query that the model has normalised; the two norms differ by their gains only, and softmax(q * r, k) is
softmax(q, r * k) for a ratio r of each channel. So the ratio goes into the keys, and nothing is projected twice.
Source: Tencent/InstantCharacter (202b193), models/attn_processor.py.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...attention.image_attention import LayerKeyValue
from ...sampling.application import Application
from ...sampling.device_cache import PlacedLayer
from ...sampling.layer_call import LayerCall, Observer, layer_key_value
from ...sampling.layer_slot import LayerSlot
from ...sampling.plan import Source, placed_key_value
from ...sampling.prepared import PreparedApplication
from ...sampling.run import Run, Step
from ..hooks.timed_tokens import TimedTokens, gain_ratio, times_each_head, tokens_of_step
from ..hooks.wrappers import LIKE, STEP, CallState, Options


@dataclass(frozen=True, eq=False)
class TimedKeys:
    """Where a block gets keys and values: made of this step's image tokens, or beforehand for whose are the same at every step.

    `tokens` and `weights`, (layers, 2) by layer and side, negative first, are in the order of the applications.
    """

    network: Any
    tokens: tuple[TimedTokens | None, ...]
    weights: tuple[Tensor | None, ...]

    def __call__(
        self, slot: LayerSlot, call: LayerCall, prepared: PreparedApplication, observers: tuple[Observer, ...]
    ) -> LayerKeyValue | None:
        """Keys and values (C, N, D), and what the output is multiplied by."""
        timed, weights = self.tokens[slot.place], self.weights[slot.place]
        if timed is None or weights is None:
            return placed_key_value(slot, call, prepared, observers)
        placed = self._placed(slot.application, slot.index, timed, weights[slot.index], call.query)
        return layer_key_value(slot.index, call, prepared, observers, placed)

    def _placed(
        self, application: Application, index: int, timed: TimedTokens, sides: Tensor, like: Tensor
    ) -> PlacedLayer:
        """A layer's keys and values as if they had been made beforehand; `sides` (2) are its weights."""
        assert application.live is not None
        layer = application.live.patcher.model.layer_at(index)
        key, value = layer.key_value(timed.tokens.flatten(0, 1).to(like))
        kind, number, _ = application.blocks[index]
        block = self.network.double_blocks[number].img_attn if kind == "double" else self.network.single_blocks[number]
        key = times_each_head(key, gain_ratio(block.norm.query_norm.weight, layer.norm_ip_q.scale, like))
        pairs = (
            torch.unflatten(part, 0, timed.tokens.shape[:2]).expand(-1, 2, -1, -1).unbind(0) for part in (key, value)
        )
        weights = (sides.view(2, 1, 1) * timed.weights.to(sides)).unbind(0)
        return application.weighed(index, list(zip(*pairs, weights, strict=True)))


def timed_source(applications: list[Application], options: Options, run: Run, state: CallState) -> Source:
    """Where the layers of this call get keys and values; what it takes is made at the first call of a step."""
    step: Step = options[STEP]
    tokens = tokens_of_step(applications, step, run, state.sigma)
    if not any(tokens):
        return placed_key_value
    like = options.get(LIKE, step.canvas)
    weights = tuple(
        None if timed is None else _weights(application, like)
        for application, timed in zip(applications, tokens, strict=True)
    )
    return TimedKeys(state.network, tokens, weights)


def _weights(application: Application, like: Tensor) -> Tensor:
    layers = torch.tensor([(layer.negative, layer.positive) for layer in application.layers], dtype=torch.float64)
    return (layers * application.strength.weight).to(like.device, like.dtype)
