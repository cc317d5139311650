"""What a model call decides for all its layers, once, before they run; every family's layers ask it in the same way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, NamedTuple

from torch import Tensor

from ..attention.image_attention import LayerKeyValue
from ..errors import SamplingError
from ..masks.token_grid import Size, token_grid
from ..warn_once import warn_once
from .application import Block
from .batch_layout import BatchLayout
from .layer_call import LayerCall, Observer, Weighed, add_weighed, attend, layer_key_value, sight
from .layer_slot import LayerSlot, Slots
from .prepared import PreparedApplication, TokenMask, prepare
from .sequence_split import SequenceSplit, token_part
from .step_weight import StepWeight


class SlotKeyValue(NamedTuple):
    """An application at a layer, and what that layer attends to for it."""

    slot: LayerSlot
    key_value: LayerKeyValue


class ReadyKeyValue(NamedTuple):
    """The same, made before the layer is called; its masks by token grid, if it has any."""

    slot: LayerSlot
    key_value: LayerKeyValue
    masks: dict[Size, TokenMask] | None


Source = Callable[[LayerSlot, LayerCall, PreparedApplication, tuple[Observer, ...]], LayerKeyValue | None]


def placed_key_value(
    slot: LayerSlot, call: LayerCall, prepared: PreparedApplication, observers: tuple[Observer, ...]
) -> LayerKeyValue | None:
    """Keys and values that were projected before sampling: where most families' layers get them."""
    return layer_key_value(slot.index, call, prepared, observers)


@dataclass(frozen=True, eq=False)
class ModelCallPlan:
    """One model call: the batch's layout, each application's weight in this step, and what its layers attend to.

    `prepared` are in the order of the applications, None for one that rests.
    `output_is_exclusive` is whether nobody else holds what ComfyUI's attention returned. `ready` is what layers attend to
    when they are called as expected, in the dtype and on the device of `like`: little is left to do between two large
    operations, when the processor's caches are full of other things. `pending` holds what a layer has computed until its
    family can add it. `split` is there where this process computes a part of each sequence.
    """

    layout: BatchLayout
    weights: tuple[StepWeight, ...]
    prepared: tuple[PreparedApplication | None, ...]
    slots: Slots
    like: Tensor
    source: Source = placed_key_value
    observers: tuple[Observer, ...] = ()
    output_is_exclusive: bool = False
    split: SequenceSplit | None = None
    ready: Mapping[Block, tuple[ReadyKeyValue, ...]] = field(default_factory=dict[Block, tuple[ReadyKeyValue, ...]])
    pending: dict[Block, Any] = field(default_factory=dict[Block, Any], repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ModelCallPlan":
        return self

    def made_ready(self) -> "ModelCallPlan":
        """The same with what every layer attends to, unless somebody wants to see each layer, or its text decides."""
        if self.observers or self.source is not placed_key_value:
            return self
        call = LayerCall(self.like, 0, (), layout=self.layout)
        alike = {block: slots for block, slots in self.slots.items() if not any(slot.worded for slot in slots)}
        return replace(self, ready={block: self._ready_at(slots, call) for block, slots in alike.items()})

    def _ready_at(self, slots: tuple[LayerSlot, ...], call: LayerCall) -> tuple[ReadyKeyValue, ...]:
        found: list[ReadyKeyValue] = []
        for slot in slots:
            prepared = self.prepared[slot.place]
            key_value = None if prepared is None else layer_key_value(slot.index, call, prepared)
            if prepared is not None and key_value is not None:
                found.append(ReadyKeyValue(slot, key_value, dict(prepared.masks) if slot.masked else None))
        return tuple(found)

    def key_values(self, block: Block, call: LayerCall) -> list[SlotKeyValue]:
        """What the applications that act at a layer attend to there.

        Raises `SamplingError` where the batch is not one that the layers of this call can have.
        """
        found = self._ready_for(block, call)
        return self._made_for(block, call) if found is None else found

    def attend(self, block: Block, call: LayerCall) -> Weighed | None:
        """What all applications add at one layer; None if nothing. A lone one is not multiplied yet: that saves a pass."""
        total: Weighed | None = None
        for _, key_value in self.key_values(block, call):
            output = attend(call.query, key_value, call.heads)
            if total is not None:
                output = Weighed(add_weighed(add_weighed(None, total, exclusive=True), output, exclusive=True), None)
            total = output
        return total

    def _ready_for(self, block: Block, call: LayerCall) -> list[SlotKeyValue] | None:
        """As made ready before; None where the layer is called otherwise than expected."""
        ready, query = self.ready.get(block), call.query
        if ready is None or query.shape[0] != self.layout.batch:
            return None
        if query.dtype != self.like.dtype or query.device != self.like.device:
            return None
        found: list[SlotKeyValue] = []
        whole = not call.before and not call.after and call.part is None and call.shapes
        for slot, key_value, masks in ready:
            if slot.every_token and not (whole and prod(call.shapes[0]) == query.shape[-2]):
                return None
            if masks is not None:
                mask = masks.get(call.shapes[0]) if whole else None
                if mask is None or mask.factor.shape[1] != query.shape[-2]:
                    return None
                own = sight(slot.application, slot.index, mask.seen)
                key_value = key_value._replace(multiplier=mask.factor, sight=own)
            found.append(SlotKeyValue(slot, key_value))
        return found

    def _made_for(self, block: Block, call: LayerCall) -> list[SlotKeyValue]:
        acting = [slot for slot in self.slots.get(block, ()) if self.weights[slot.place].active]
        if not acting:
            return []
        call, observers = call._replace(layout=self._layout_for(call.query.shape[0])), self.observers
        needed = call.own is not None or any(slot.masked or slot.every_token for slot in acting)
        if observers or needed:
            call = self._located(call, needed)
        if observers and (call.grid is None or call.part is not None):
            warn_once("a layer sees a part of its tokens, so its attention is not recorded")
            observers = ()
        made = ((slot, self.source(slot, call, self._prepared_for(slot, call), observers)) for slot in acting)
        return [SlotKeyValue(slot, key_value) for slot, key_value in made if key_value is not None]

    def _located(self, call: LayerCall, needed: bool) -> LayerCall:
        """The call with its token grid, and where an engine splits sequences, the part of it that the tokens are.

        Raises `SamplingError` where they are `needed` and cannot be known: with a mask, where a layer attends to the
        latent's own tokens, too, or where an adapter sums over all of them.
        """
        tokens, beside = call.query.shape[-2], call.before + call.after
        shapes = call.shapes or (self.layout.latent,)
        if call.part is not None:
            return call._replace(grid=shapes[0])
        grid = token_grid(tokens - beside, shapes, call.levels)
        if grid is not None:
            return call._replace(grid=grid)
        total = shapes[0][0] * shapes[0][1] + beside
        part = token_part(self.split, tokens, total, call.unit) if self.split and call.unit else None
        if part is not None and call.own is None:
            return call._replace(grid=shapes[0], part=part)
        if needed:
            raise SamplingError(
                f"a layer of the model is called with {tokens} tokens, where {total} were expected, so that it cannot be known "
                "where in the image they are: take out the node or engine that splits or merges tokens, or the mask or "
                "Apply IP-Adapter"
            )
        return call

    def acts(self, *blocks: Block) -> bool:
        """Whether some application has something to add at one of these layers in this step."""
        return any(self.weights[slot.place].active for block in blocks for slot in self.slots.get(block, ()))

    def finish(self) -> None:
        """After the model call. Raises `SamplingError` where a layer's part was never taken: the image would be without it."""
        lost = [block for block, waiting in self.pending.items() if waiting]
        if lost:
            raise SamplingError(
                f"{len(lost)} layers of the model were called without the hooks that add the reference to them ({lost[0][0]} "
                f"{lost[0][1]}): take out the node or engine that replaces the model's layers, or Apply IP-Adapter"
            )

    def _layout_for(self, batch: int) -> BatchLayout:
        """The call's layout, or one that another pack made larger by repeating the positive passes."""
        layout = self.layout
        if batch == layout.batch:
            return layout
        larger = layout.enlarged(batch)
        if larger is None:
            raise SamplingError(
                f"a layer of the model is called with {batch} images, where {len(layout.polarities)} passes of "
                f"{layout.images} were expected, so that it cannot be known which of them see the reference: take out "
                "the node that splits or repeats the batch, or Apply IP-Adapter"
            )
        return larger

    def _prepared_for(self, slot: LayerSlot, call: LayerCall) -> PreparedApplication:
        """What was made ready for the model call, or anew for a batch that another pack enlarged."""
        prepared = self.prepared[slot.place]
        if prepared is not None and call.layout is self.layout:
            return prepared
        assert call.layout is not None
        if slot.worded:
            raise SamplingError(
                "another pack repeats a prompt inside the model, so that it cannot be known which text a reference with words "
                "meets: take out the node that makes regions of prompts, or Words for Reference"
            )
        return prepare(slot.application, call.layout, self.weights[slot.place], call.query)
