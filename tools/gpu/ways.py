"""The ways to compute one layer: stated in float64, as separate calls, and ours, plain or as one kernel."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ...ipadapter_core.attention.image_attention import LayerKeyValue
from ...ipadapter_core.attention.kernel_table import Tile
from ...ipadapter_core.sampling.layer_call import add_attention
from .shapes import Case, Shape

PASSES = 2  # of guidance


class Layer(NamedTuple):
    """One layer's tensors: queries, the text's keys and values or what its attention has returned already, and the banks.

    `query` and `ready` are (B, L, D), or (B, H, L, D / H) where the model has them by heads.
    """

    query: Tensor
    text: tuple[Tensor, Tensor] | None
    ready: Tensor
    banks: tuple[LayerKeyValue, ...]
    heads: int


def layer(shape: Shape, case: Case, device: torch.device, dtype: torch.dtype) -> Layer:
    """Random tensors in the shapes that the hooks are called with; keys per pass, or per image where frames have their own."""
    batch, wide = PASSES * case.frames, shape.heads * shape.width

    def noise(*sizes: int) -> Tensor:
        return torch.randn(sizes, device=device, dtype=torch.float32).to(dtype)

    by_heads = (batch, shape.heads, shape.length, shape.width)
    size = by_heads if shape.by_heads else (batch, shape.length, wide)
    text = (noise(batch, shape.text, wide), noise(batch, shape.text, wide)) if shape.text else None
    chunks = batch if case.frames > 1 else PASSES
    banks = []
    for _ in range(case.adapters):
        tokens = shape.own_keys + case.tokens
        key, value = noise(chunks, tokens, wide), noise(chunks, tokens, wide)
        banks.append(LayerKeyValue(key, value, _multiplier(shape, case, batch, device, dtype)))
    return Layer(noise(*size), text, noise(*size), tuple(banks), shape.heads)


def _multiplier(shape: Shape, case: Case, batch: int, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    """(1 or B, 1 or L, 1): a soft mask, the weight of a step, a weight for each frame."""
    if not (case.mask or case.schedule or case.frames > 1):
        return None
    weight = torch.ones(1, 1, 1, device=device)
    if case.mask:
        weight = weight * torch.linspace(0, 1, shape.length, device=device).view(1, -1, 1)
    if case.schedule:
        weight = weight * 0.6
    if case.frames > 1:
        weight = weight * torch.linspace(0.5, 1, batch, device=device).view(-1, 1, 1)
    return weight.to(dtype)


def stated(one: Layer) -> Tensor:
    """The equation in float64, softmax and all; the text's part as it came where only that is given."""
    total = one.ready.double() if one.text is None else _attended(one.query, *one.text, one.heads)
    for bank in one.banks:
        part = _attended(one.query, bank.key, bank.value, one.heads)
        total = total + (part if bank.multiplier is None else part * _fitting(bank.multiplier.double(), part))
    return total


def _attended(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    rows, key, value = (_by_heads(part.double(), heads) for part in (query, key, value))
    key, value = (part.repeat_interleave(len(rows) // len(part), dim=0) for part in (key, value))
    scores = rows @ key.mT
    out = scores.mul_(rows.shape[-1] ** -0.5).softmax(-1) @ value
    return out if query.ndim == 4 else out.transpose(1, 2).flatten(2)


def separate(one: Layer) -> Tensor:
    """Separate calls of `scaled_dot_product_attention` in the dtype itself, weighed and added: what the bar is made of."""
    total = one.ready if one.text is None else _called(one.query, *one.text, one.heads)
    for bank in one.banks:
        part = _called(one.query, bank.key, bank.value, one.heads)
        total = total + (part if bank.multiplier is None else part * _fitting(bank.multiplier, part))
    return total


def _called(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    rows, key, value = (_by_heads(part, heads) for part in (query, key, value))
    key, value = (part.repeat_interleave(len(rows) // len(part), dim=0) for part in (key, value))
    out = scaled_dot_product_attention(rows, key, value)
    return out if query.ndim == 4 else out.transpose(1, 2).flatten(2)


def plain(one: Layer) -> Tensor:
    """Ours, as the hooks compute it where the kernel is not taken."""
    base = one.ready.clone() if one.text is None else _called(one.query, *one.text, one.heads)
    return add_attention(base, one.query, one.banks, one.heads, exclusive=True)


def fused(one: Layer, tile: Tile | None = None) -> Tensor:
    """Ours as one kernel; for layers whose text is ours to compute, on a GPU."""
    from ...ipadapter_core.attention.fused_kernel import fused_attention

    assert one.text is not None
    return fused_attention(one.query, *one.text, one.banks, one.heads, tile)


def _fitting(multiplier: Tensor, to: Tensor) -> Tensor:
    return multiplier.unsqueeze(1) if to.ndim == 4 else multiplier


def _by_heads(tensor: Tensor, heads: int) -> Tensor:
    return tensor if tensor.ndim == 4 else tensor.unflatten(-1, (heads, -1)).transpose(1, 2)
