"""What one application adds to one layer: picks the keys of each pass, attends, and weighs by mask, frame and time."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..attention.image_attention import ImageBank, image_attention
from ..masks.token_grid import Size
from ..weights.scaling import scale
from .application import Application
from .batch import Rows, _choice, _places, mask_rows, per_picture, seen_by

Factor = Tensor | tuple[()]  # what a step multiplies an application's output by: nothing, one value, or one a frame


class Observer(Protocol):
    """Somebody who takes notes of a run, and with `maps` of each layer's queries, keys and values too."""

    @property
    def maps(self) -> bool:
        """Whether `note` is to be called."""
        ...

    def note(
        self, application: Application, index: int, call: "LayerCall", part: "Part", pair: tuple[Tensor, Tensor]
    ) -> None:
        """Called before a layer attends, with its keys and values."""


class Part(NamedTuple):
    """What an application needs of a model call, made ready once for all layers.

    `factor` (1, 1, 1) or (B, 1, 1); `choice` (B,), the place of each row in a bank of many references, laid out flat;
    `masks` are weights (1, L, 1) or (B, L, 1) by token grid, with the factor in them unless keys are scaled by it; `observers`
    are there only in a run that is recorded.
    """

    factor: Tensor | None = None
    choice: Tensor | None = None
    masks: tuple[tuple[Size, Tensor], ...] = ()
    observers: tuple[Observer, ...] = ()


class Weighed(NamedTuple):
    """What an application contributes to a layer: its output, and what that is still to be multiplied by.

    The output has the shape of the query, (B, L, D) or (B, H, L, D / H), and the multiplier goes with it.
    """

    out: Tensor
    multiplier: Tensor | None


class LayerCall(NamedTuple):
    """What every application at one call of a layer shares: query, heads, token grid and the batch's make-up.

    The query is (B, L, D), or (B, H, L, D / H) where a model has it by heads; the grid is needed for masks only.
    Of the L tokens, `before` come before those of the grid and `after` behind them: text, or pictures to be edited.
    """

    query: Tensor
    heads: int
    grid: Size | None
    rows: Rows
    before: int = 0
    after: int = 0


def ready(application: Application, rows: Rows, factor: Factor, like: Tensor, grids: Sequence[Size] = ()) -> Part:
    """An application's part in a model call, for queries on the device and in the dtype of `like`."""
    rows = seen_by(application, rows)
    strength = None
    if not isinstance(factor, tuple):
        places = _places(application, rows, factor.shape[0], like.device)
        values = factor.to(like.device, like.dtype)
        strength = (values if places is None else values[places]).view(-1, 1, 1)
    part = Part(strength, _choice(application, rows, like.device))
    if application.mask is None:
        return part
    return part._replace(masks=tuple((grid, _multiplier(application, rows, grid, like, part)) for grid in grids))


def _multiplier(application: Application, rows: Rows, grid: Size, like: Tensor, part: Part) -> Tensor:
    """The mask for every row of the batch, times the factor unless that goes into keys and values."""
    weights = mask_rows(application, rows, grid, like)
    return weights if part.factor is None or application.scaled_late else weights * part.factor


def add_banks(base: Tensor, query: Tensor, banks: Sequence[ImageBank], heads: int, own: bool) -> Tensor:
    """`base` (B, L, D) and attention from its query to each bank.

    In place only where `base` is our `own`, as our sums are: another pack or a backward pass may still need what it gave.
    """
    for bank in banks:
        base, own = add_weighed(base, attended(query, bank, heads), own), True
    return base


def attended(query: Tensor, bank: ImageBank, heads: int) -> Weighed:
    """The plain path: attention to a bank."""
    out, multiplier = image_attention(query, bank.key, bank.value, heads), bank.multiplier
    return Weighed(out, multiplier if multiplier is None or out.ndim == 3 else multiplier.unsqueeze(1))


def image_bank(application: Application, index: int, call: LayerCall, part: Part) -> ImageBank | None:
    """What an application attends to at its layer `index`, ready for this call; None where that layer is silent.

    Where the call's grid is not known yet, a masked application's bank has no multiplier.
    """
    placed = application.placed(call.query.device, call.query.dtype)[index]
    if placed is None:
        return None
    factor, rows = part.factor, seen_by(application, call.rows)
    key, value = chosen(placed.key, rows, part), chosen(placed.value, rows, part)
    if placed.weight is not None and placed.mean is not None and factor is not None:
        weight, mean = (chosen(tensor, rows, part) for tensor in (placed.weight, placed.mean))
        if factor.shape[0] > 1:
            key, value, weight, mean = (per_picture(one, factor.shape[0]) for one in (key, value, weight, mean))
        key, value = scale(application.strength.scaling, key, value, weight * factor, mean)
        factor = None
    for observer in part.observers:
        seen = call.query if call.query.ndim == 3 else call.query.transpose(1, 2).flatten(2)
        observer.note(application, index, call._replace(query=seen), part._replace(factor=factor), (key, value))
    if application.mask is None:
        return ImageBank(key, value, factor)
    return ImageBank(key, value, None if call.grid is None else mask_multiplier(application, call, part))


def mask_multiplier(application: Application, call: LayerCall, part: Part) -> Tensor:
    """The application's mask at a layer and the part's factor, (1 or B, L, 1)."""
    assert call.grid is not None
    weights = next((weights for grid, weights in part.masks if grid == call.grid), None)
    if weights is None:
        weights = _multiplier(application, call.rows, call.grid, call.query, part)
    return _whole_row(weights.to(call.query.dtype), call)


def add_weighed(base: Tensor | None, weighed: Weighed, own: bool = False) -> Tensor:
    """`base`, if any, and an output of its shape times its multiplier; into `base`, or the output, where it is our `own`."""
    out, multiplier = weighed
    if base is None and multiplier is None:
        return out
    if torch.is_grad_enabled():
        own = False
    if base is None:
        return out.mul_(multiplier) if own else out * multiplier
    if own:
        return base.add_(out) if multiplier is None else base.addcmul_(out, multiplier)
    return base + out if multiplier is None else torch.addcmul(base, out, multiplier)


def _whole_row(weights: Tensor, call: LayerCall) -> Tensor:
    """Tokens beside the grid take the mask's mean, so that masks that add up do so for them, too."""
    if not call.before and not call.after:
        return weights
    mean = weights.mean(dim=1, keepdim=True)
    return torch.cat((mean.expand(-1, call.before, -1), weights, mean.expand(-1, call.after, -1)), dim=1)


def chosen(tensor: Tensor, rows: Rows, part: Part) -> Tensor:
    """(2, ...) -> (C, ...), a row for each pass or one for all; (F, 2, ...) -> (B, ...), for each picture of each pass."""
    if part.choice is not None:
        return tensor.flatten(0, 1)[part.choice]
    if rows.polarities == (0, 1):
        return tensor
    sides = rows.polarities[:1] if len(set(rows.polarities)) == 1 else rows.polarities
    return torch.cat([tensor[side : side + 1] for side in sides]) if len(sides) > 1 else tensor[sides[0] : sides[0] + 1]
