"""The layer of adapters that bring a cross-attention of their own (PuLID for FLUX.1), and how a reference folds it.

Shapes: B references, N image tokens, C their width, I the layer's inner width of H heads, D the model's width.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..attention.folded_attention import PLACES
from ..checkpoint.spec import AdapterSpec, LayerSpec
from ..host import Operations

FLUX_HEAD_WIDTH = 128  # of every FLUX.1 model, of Chroma, and of PuLID's layers


class OwnAttentionLayer(nn.Module):
    """Norms for image tokens and hidden states, and projections for query, key and value, and output.

    Source: ToTheBeginning/PuLID (1aa2fc7), pulid/encoders_transformer.py, PerceiverAttentionCA.
    """

    def __init__(self, spec: AdapterSpec, layer: LayerSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.norm1 = operations.LayerNorm(spec.text_width, **options)
        self.norm2 = operations.LayerNorm(layer.width, **options)
        self.to_q = operations.Linear(layer.width, layer.inner, bias=False, **options)
        self.to_kv = operations.Linear(spec.text_width, 2 * layer.inner, bias=False, **options)
        self.to_out = operations.Linear(layer.inner, layer.width, bias=False, **options)

    def key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, C) -> key and value (B, N, I)."""
        key, value = self.to_kv(self.norm1(tokens)).chunk(2, dim=-1)
        return key, value

    def folded_key(self, key: Tensor) -> Tensor:
        """Key (..., N, I) -> (..., N, H (D + PLACES)): what normalised hidden states are multiplied by, and a constant."""
        heads = torch.unflatten(key, -1, (-1, FLUX_HEAD_WIDTH))
        query = torch.unflatten(self.to_q.weight.to(key), 0, (-1, FLUX_HEAD_WIDTH))
        gain, shift = self.norm2.weight.to(key), self.norm2.bias.to(key)
        rows = torch.einsum("...hd,hdc->...hc", heads, query) * FLUX_HEAD_WIDTH**-0.5
        constant = (rows @ shift).unsqueeze(-1)
        empty = constant.new_zeros(*constant.shape[:-1], PLACES - 1)
        return torch.cat((rows * gain, constant, empty), dim=-1).flatten(-2)

    def folded_value(self, value: Tensor) -> Tensor:
        """Value (..., N, I) -> (..., N, H D): what is added to hidden states."""
        heads = torch.unflatten(value, -1, (-1, FLUX_HEAD_WIDTH))
        out = torch.unflatten(self.to_out.weight.to(value), 1, (-1, FLUX_HEAD_WIDTH))
        return torch.einsum("...hd,chd->...hc", heads, out).flatten(-2)


class Folding(NamedTuple):
    """How an adapter's keys and values become what its layers multiply by; each layer's weights pass the device alone."""

    layers: tuple[OwnAttentionLayer, ...]

    def key(self, index: int, key: Tensor) -> Tensor:
        """Folded keys of the layer in a place, on the keys' device."""
        with torch.no_grad():
            return self.layers[index].folded_key(key)

    def value(self, index: int, value: Tensor) -> Tensor:
        """Folded values of the layer in a place, on the values' device."""
        with torch.no_grad():
            return self.layers[index].folded_value(value)
