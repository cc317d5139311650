"""The layers of Lynx for Wan: keys are normalised over the channels of all heads at once, before the heads are split.

Source: bytedance/lynx (3a6a91a), modules/lite/attention_processor.py and modules/full/attention_processor.py. Shapes: B
references, N image tokens, R registers, C their width, D channels of all heads.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from ..checkpoint.spec import AdapterSpec, LayerSpec
from ..host import Operations

LITE_EPS, WAN_EPS = 1e-5, 1e-6  # of the lite layers' own norm, and of every norm in Wan


class LynxProjections(nn.Module):
    """A key and a value projection, with learned tokens that are read beside those of a reference."""

    def __init__(
        self, width: int, layer: LayerSpec, operations: Operations, bias: bool, registers: int, **options: Any
    ) -> None:
        super().__init__()
        self.to_k_ip = operations.Linear(width, layer.width, bias=bias, **options)
        self.to_v_ip = operations.Linear(width, layer.width, bias=bias, **options)
        self.registers = nn.Parameter(torch.zeros(1, registers, width, **options)) if registers else None

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) -> key and value (B, N + R, D)."""
        if self.registers is not None:
            tokens = torch.cat((tokens, self.registers.to(tokens).expand(len(tokens), -1, -1)), dim=1)
        return self.to_k_ip(tokens), self.to_v_ip(tokens)


class LynxLiteLayer(nn.Module):
    """Projections without biases, and a norm of keys without a gain."""

    eps, bias = LITE_EPS, False

    def __init__(self, spec: AdapterSpec, layer: LayerSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.cross = LynxProjections(spec.text_width, layer, operations, self.bias, layer.registers, **options)

    def key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) -> key, of length 1 in the mean over channels, and value (B, N + R, D)."""
        key, value = self.cross(tokens)
        return rms_norm(key, key.shape[-1:], eps=self.eps), value


class LynxFullLayer(LynxLiteLayer):
    """Projections with biases and registers; the norm of keys is the model's own, whose gain goes to the query."""

    eps, bias = WAN_EPS, True
