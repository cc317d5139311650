"""What one application adds to one layer: picks the keys of each pass, attends, and weighs by mask, image and time."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..attention.image_attention import LayerKeyValue, Sight, image_attention
from ..attention.orthogonal_attention import orthogonal_attention
from ..masks.token_grid import Size
from ..weights.scaling import scale
from .application import Application
from .batch_layout import BatchLayout
from .device_cache import PlacedLayer
from .prepared import PreparedApplication, TokenMask, per_image, select_rows
from .sequence_split import TokenPart
from .text_attention import word_mask


class LayerCall(NamedTuple):
    """One call of a layer: query, heads, and what is known of its tokens.

    The query is (B, L, D), or (B, H, L, D / H) where a model has it by heads. `shapes` are candidates for the token grid,
    the most certain first, each halved up to `levels` - 1 times. Of the L tokens, `before` come before those of the grid and
    `after` behind them: text, or images to be edited. `own` are key and value (B, L, D) of the latent's own tokens, where a
    family attends to both at once. `unit` tokens stay together where an engine splits the sequence, 0 where none does.
    `text` are the text's keys (B, T, D), where a family attends to the text alone.
    `layout`, `grid` and `part` are filled in by the plan, the latter two only where somebody has to know them, unless a family
    knows the part; with a part the L tokens are that part of `before`, the grid and `after`.
    """

    query: Tensor
    heads: int
    shapes: tuple[Size, ...]
    before: int = 0
    after: int = 0
    own: tuple[Tensor, Tensor] | None = None
    levels: int = 1
    unit: int = 0
    text: Tensor | None = None
    layout: BatchLayout | None = None
    grid: Size | None = None
    part: TokenPart | None = None


class Observer(Protocol):
    """Somebody who takes notes of a run, and with `maps` of each layer's queries, keys and values too."""

    @property
    def maps(self) -> bool:
        """Whether `note` is to be called."""
        ...

    def note(self, index: int, call: LayerCall, prepared: PreparedApplication, pair: tuple[Tensor, Tensor]) -> None:
        """Called before a layer attends, with its keys and values."""
        ...


class Weighed(NamedTuple):
    """A layer's output, of the shape of its query, and what that is still to be multiplied by."""

    out: Tensor
    multiplier: Tensor | None


def layer_key_value(
    index: int,
    call: LayerCall,
    prepared: PreparedApplication,
    observers: Sequence[Observer] = (),
    placed: PlacedLayer | None = None,
) -> LayerKeyValue | None:
    """What an application attends to at its layer `index`, ready for this call; None where that layer is silent.

    `placed` is there where keys and values are made anew for the call. Where the call's grid is not known yet, a masked
    application's has no multiplier.
    """
    application, weight = prepared.application, prepared.weight
    placed = application.placed(call.query.device, call.query.dtype)[index] if placed is None else placed
    if placed is None:
        return None
    key, value = select_rows(placed.key, prepared), select_rows(placed.value, prepared)
    if placed.weight is not None and placed.mean is not None and weight is not None:
        own, mean = (select_rows(tensor, prepared) for tensor in (placed.weight, placed.mean))
        if weight.shape[0] > 1:
            key, value, own, mean = (per_image(one, weight.shape[0]) for one in (key, value, own, mean))
        width = application.key_width(index)
        key, value = scale(application.strength.scaling, key, value, own * weight, mean, width)
        weight = None
    for observer in observers:
        observer.note(index, call, prepared._replace(weight=weight), (key, value))
    seen = None
    if application.masked:
        weight, seen = (None, None) if call.grid is None else call_mask(call, prepared)
    if application.words and call.text is not None:
        words = word_mask(application, prepared.layout, call.query, call.text, call.heads)
        weight = words if weight is None else words * weight
    return LayerKeyValue(key, value, weight, application.orthogonality, sight(application, index, seen))


def sight(application: Application, index: int, seen: Tensor | None) -> Sight | None:
    """How much each token sees of each reference, and how many image tokens each has at layer `index`."""
    tokens = (one.bank.keys[index].shape[1] for one in application.banks)
    return None if seen is None else Sight(seen, tuple(tokens))


def call_mask(call: LayerCall, prepared: PreparedApplication) -> TokenMask:
    """The application's mask at a layer, its factor times the step's weight."""
    assert call.grid is not None
    factor, seen = prepared.mask(call.grid, call.query)
    return TokenMask(_of_call(factor, call), None if seen is None else _of_call(seen, call))


def _of_call(weights: Tensor, call: LayerCall) -> Tensor:
    """The weights (1 or B, L, ..) of a grid for all tokens of a call.

    Tokens beside the grid take the mask's mean, so that masks that add up do so for them, too.
    """
    part = call.part
    if not call.before and not call.after and part is None:
        return weights
    mean, after = weights.mean(dim=1, keepdim=True), call.after + (part.padding if part else 0)
    whole = torch.cat((mean.expand(-1, call.before, -1), weights, mean.expand(-1, after, -1)), dim=1)
    return whole if part is None else whole[:, part.start : part.start + part.length]


def attend(query: Tensor, to: LayerKeyValue, heads: int, text: Tensor | None = None) -> Weighed:
    """Attention to one application's keys and values; `text` (B, L, D) is what the layer's text brings, for those who ask."""
    multiplier = to.multiplier
    if to.orthogonality is None:
        out = image_attention(query, to.key, to.value, heads, to.sight)
    else:
        assert text is not None, "only families whose text has an attention of its own read such adapters"
        out = orthogonal_attention(query, text, to.key, to.value, heads, to.orthogonality)
    return Weighed(out, multiplier if multiplier is None or out.ndim == 3 else multiplier.unsqueeze(1))


def add_attention(base: Tensor, query: Tensor, to: Sequence[LayerKeyValue], heads: int, exclusive: bool) -> Tensor:
    """`base` (B, L, D), the text's output, and attention from its query to each of `to`.

    In place only where nobody else holds `base`, as nobody holds our sums: another pack or a backward pass may still need
    what it gave, and so does attention that is held against the text's.
    """
    text, exclusive = base, exclusive and all(one.orthogonality is None for one in to)
    for one in to:
        base, exclusive = add_weighed(base, attend(query, one, heads, text), exclusive), True
    return base


def add_in_place(base: Tensor, weighed: Weighed) -> Tensor:
    """The very `base`, with an output times its multiplier added."""
    out, multiplier = weighed
    return base.add_(out) if multiplier is None else base.addcmul_(out, multiplier)


def add_weighed(base: Tensor | None, weighed: Weighed, exclusive: bool = False) -> Tensor:
    """`base`, if any, and an output times its multiplier; written into `base`, or the output, where nobody else holds it."""
    out, multiplier = weighed
    exclusive = exclusive and not torch.is_grad_enabled()
    if base is None:
        if multiplier is None:
            return out
        return out.mul_(multiplier) if exclusive else out * multiplier
    if exclusive:
        return add_in_place(base, weighed)
    return base + out if multiplier is None else torch.addcmul(base, out, multiplier)
