"""One layer of an adapter: its key and value projections, and what some families put beside them.

Parameter names are the published files' (see `checkpoint/layouts.py`). Shapes: B references, N image tokens, C their width,
D channels of all heads.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, silu

from ..checkpoint.spec import AdapterSpec, LayerKind, LayerSpec
from ..host import Operations
from .lynx_layers import LynxFullLayer, LynxLiteLayer
from .own_attention import FLUX_HEAD_WIDTH, OwnAttentionLayer

SD3_HEAD_WIDTH = 64  # of every SD3 model
GAIN_EPSILON = 1e-6  # of InstantCharacter's norms


class KeyValueLayer(nn.Module):
    """A key and a value projection."""

    def __init__(
        self, spec: AdapterSpec, layer: LayerSpec, operations: Operations, bias: bool = False, **options: Any
    ) -> None:
        super().__init__()
        context = spec.text_width
        self.to_k_ip = operations.Linear(context, layer.width, bias=bias, **options)
        self.to_v_ip = operations.Linear(context, layer.width, bias=bias, **options)

    def key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) -> key and value (B, N, D)."""
        return self.to_k_ip(tokens), self.to_v_ip(tokens)


class BiasedLayer(KeyValueLayer):
    """Projections with biases, as XLabs trained them for FLUX."""

    def __init__(self, spec: AdapterSpec, layer: LayerSpec, operations: Operations, **options: Any) -> None:
        super().__init__(spec, layer, operations, bias=True, **options)


class NormedKeyLayer(KeyValueLayer):
    """Keys normalised head by head without a weight, as InstantX trained them for FLUX; the value stays as it is."""

    def key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) -> key and value (B, N, D)."""
        key, value = super().key_value(tokens)
        heads = torch.unflatten(key, -1, (-1, FLUX_HEAD_WIDTH))
        return rms_norm(heads, (FLUX_HEAD_WIDTH,), eps=1e-5).flatten(-2), value


class GatedLayer(BiasedLayer):
    """Projections with biases, and a gate over the output that depends on the time embedding (LuciferTC, Anima)."""

    def __init__(self, spec: AdapterSpec, layer: LayerSpec, operations: Operations, **options: Any) -> None:
        super().__init__(spec, layer, operations, **options)
        self.gate = operations.Linear(layer.width, layer.width, **options)

    def key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) -> key and value (B, N, D); where a reference's tokens are all zero the value is 0."""
        key, value = super().key_value(tokens)
        return key, value * (tokens != 0).flatten(1).any(dim=1).view(-1, 1, 1)

    def gate_at(self, time_embedding: Tensor) -> Tensor:
        """Time embedding (..., D) -> gate (..., D)."""
        return self.gate(silu(time_embedding))


class ScaledLayer(KeyValueLayer):
    """Projections whose output has a learned factor (sorryhyun, Anima)."""

    def __init__(self, spec: AdapterSpec, layer: LayerSpec, operations: Operations, **options: Any) -> None:
        super().__init__(spec, layer, operations, **options)
        self.ip_gate = nn.Parameter(torch.zeros((), **options))

    def key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) -> key and value (B, N, D)."""
        key, value = super().key_value(tokens)
        return key, value * self.ip_gate.to(value)


class TimeNorm(nn.Module):
    """A norm whose shift and scale depend on the time embedding."""

    def __init__(self, time_width: int, width: int, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.linear = operations.Linear(time_width, 2 * width, **options)
        self.norm = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **options)

    def forward(self, tokens: Tensor, time_embedding: Tensor) -> Tensor:
        """Tokens (B, N, C), time embedding (B or 1, T) -> (B, N, C)."""
        shift, scale = self.linear(silu(time_embedding)).unsqueeze(1).chunk(2, dim=-1)
        return self.norm(tokens) * (1 + scale) + shift


class HeadNorm(nn.Module):
    """The weight of an RMS norm over the channels of one head."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, **options))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        heads = torch.unflatten(tokens, -1, (-1, self.weight.shape[0]))
        return rms_norm(heads, (heads.shape[-1],), self.weight.to(tokens), eps=1e-6).flatten(-2)


class GainNorm(nn.Module):
    """An RMS norm over the channels of one head, which adds its epsilon to the root instead of below it."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width, **options))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        heads = torch.unflatten(tokens, -1, (-1, self.scale.shape[0])).to(
            torch.promote_types(tokens.dtype, torch.float32)
        )
        roots = heads.square().mean(dim=-1, keepdim=True).sqrt() + GAIN_EPSILON
        return (heads / roots * self.scale.to(heads)).flatten(-2).to(tokens.dtype)


class OwnNormsLayer(BiasedLayer):
    """Projections with biases, a norm for keys, and the gain of one for the model's queries (InstantCharacter, FLUX).

    Source: Tencent/InstantCharacter (202b193), models/attn_processor.py and models/norm_layer.py.
    """

    def __init__(self, spec: AdapterSpec, layer: LayerSpec, operations: Operations, **options: Any) -> None:
        super().__init__(spec, layer, operations, **options)
        self.norm_ip_q = GainNorm(FLUX_HEAD_WIDTH, **options)
        self.norm_ip_k = GainNorm(FLUX_HEAD_WIDTH, **options)

    def key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) -> normalised key and value (B, N, D)."""
        key, value = super().key_value(tokens)
        return self.norm_ip_k(key), value


class JointLayer(KeyValueLayer):
    """Projections behind a norm that depends on time, and norms for the image's own queries and keys (InstantX, SD3.5)."""

    def __init__(self, spec: AdapterSpec, layer: LayerSpec, operations: Operations, **options: Any) -> None:
        super().__init__(spec, layer, operations, **options)
        self.norm_ip = TimeNorm(spec.projector.width, spec.projector.context_width, operations, **options)
        self.norm_q = HeadNorm(SD3_HEAD_WIDTH, **options)
        self.norm_k = HeadNorm(SD3_HEAD_WIDTH, **options)
        self.norm_ip_k = HeadNorm(SD3_HEAD_WIDTH, **options)

    def key_value_at(self, tokens: Tensor, time_embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) and their time embedding -> normalised key and value (B, N, D)."""
        key, value = self.key_value(self.norm_ip(tokens, time_embedding))
        return self.norm_ip_k(key), value


LAYERS = {
    LayerKind.PLAIN: KeyValueLayer,
    LayerKind.BIASED: BiasedLayer,
    LayerKind.NORMED_KEY: NormedKeyLayer,
    LayerKind.GATED: GatedLayer,
    LayerKind.SCALED: ScaledLayer,
    LayerKind.JOINT: JointLayer,
    LayerKind.OWN: OwnAttentionLayer,
    LayerKind.WIDE_NORM: LynxLiteLayer,
    LayerKind.MODEL_NORM: LynxFullLayer,
    LayerKind.OWN_NORMS: OwnNormsLayer,
}


def build_layer(spec: AdapterSpec, layer: LayerSpec, operations: Operations, **options: Any) -> nn.Module:
    """The uninitialised layer; its `state_dict` has the keys below `ip_adapter.<number>.` of a file."""
    return LAYERS[spec.layer_kind](spec, layer, operations, **options)
