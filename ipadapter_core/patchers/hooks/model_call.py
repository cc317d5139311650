"""What the hooks of every family need: who acts at a layer, how its batch is made up, and hooks kept for a run."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

from ...attention.image_attention import ImageBank
from ...host import attention_is_its_own
from ...masks.token_grid import Size, halved
from ...sampling.application import Application, Block
from ...sampling.batch import Rows
from ...sampling.layer_call import LayerCall, Observer, Part, Weighed, add_weighed, attended, image_bank, ready
from ...sampling.run import Scale, Step
from ...warn_once import warn_once
from .batch_layout import ROWS, enlarged, rows_of
from .layer_slot import Place
from .torch_compile import is_compiled
from .wrappers import LIKE, STEP, Options, observers_of

LEVELS = 4  # the token grids of a model whose masks are made ready before a call; any other is made in its layer
OVERRIDE = "optimized_attention_override"  # ComfyUI's key for the one who takes over every attention


class ReadyBank(NamedTuple):
    """What an application attends to at a layer, made before the layer is called; its masks by token grid, if it has any."""

    bank: ImageBank
    masks: dict[Size, Tensor] | None


class ModelParts(NamedTuple):
    """What a model call decides for all its layers: the batch's make-up, and what each application needs, None if it rests.

    `fresh` is whether ComfyUI's attention is its own, so that nobody holds what it returns. `banks` are what layers attend
    to when called as expected, with a `batch` in the dtype and on the device of `like`: little is left to do between two
    large operations, when the processor's caches are full of other things.
    """

    rows: Rows | None
    factors: tuple[Scale, ...]
    parts: tuple[Part | None, ...]
    fresh: bool = False
    like: Tensor | None = None
    batch: int = 0
    banks: Mapping[Block, tuple[ReadyBank, ...]] = MappingProxyType({})

    @property
    def observed(self) -> bool:
        """Whether somebody wants to see every layer as it is called."""
        return any(part is not None and part.observers for part in self.parts)

    def owns(self, previous: Any, options: Options) -> bool:
        """Whether what a layer's base attention returned may be written to: no other pack had a part in it."""
        return self.fresh and previous is None and OVERRIDE not in options


def _enlarged(rows: Rows, batch: int) -> Rows | None:
    larger = enlarged(rows, batch)
    if larger is None:
        warn_once(
            f"a layer has a batch of {batch}, expected {len(rows.polarities)} passes of {len(rows.frames)}: left as it is"
        )
    return larger


def model_call(applications: list[Application], options: Options) -> ModelParts:
    step: Step = options[STEP]
    rows = options[ROWS] if ROWS in options else rows_of(options, step)
    if rows is None:
        return ModelParts(None, step.scales, (None,) * len(applications))
    grids, like = tuple(halved(rows.latent, LEVELS)), options.get(LIKE, step.canvas)
    observers = _observers(options)
    parts = tuple(
        None if factor is None else ready(application, rows, factor, like, grids)._replace(observers=observers)
        for application, factor in zip(applications, step.scales, strict=True)
    )
    return ModelParts(rows, step.scales, parts, attention_is_its_own(), like, rows.batch)


def _observers(options: Options) -> tuple[Observer, ...]:
    """Recordings that want to see every layer; a compiled program cannot be looked into."""
    observers = tuple(one for one in observers_of(options) if one.maps)
    if observers and is_compiled(options):
        warn_once("the model is compiled, so attention is not recorded: bypass the compile node to see attention maps")
        return ()
    return observers


def acting_at(places: Sequence[Place], call: ModelParts, batch: int) -> tuple[list[Place], Rows | None]:
    """Those that do not rest in this step, and the make-up of a layer's batch; no make-up where nothing is to be done."""
    acting = [place for place in places if call.factors[place.slot] is not None]
    if not acting or call.rows is None:
        return acting, None
    return acting, call.rows if batch == call.rows.batch else _enlarged(call.rows, batch)


def part_of(place: Place, call: ModelParts, layer: LayerCall) -> Part:
    """What was made ready for the model call, or anew for a batch that another pack enlarged."""
    part = call.parts[place.slot]
    if part is not None and layer.rows is call.rows:
        return part
    factor = call.factors[place.slot]
    assert factor is not None
    again = ready(place.application, layer.rows, factor, layer.query)
    return again._replace(observers=part.observers) if part is not None else again


def banks_at(places: Sequence[Place], call: ModelParts, layer: LayerCall) -> list[ImageBank]:
    """What all of them attend to at one layer."""
    banks = (image_bank(place.application, place.index, layer, part_of(place, call, layer)) for place in places)
    return [bank for bank in banks if bank is not None]


def with_banks(call: ModelParts, places: Mapping[Block, Sequence[Place]]) -> ModelParts:
    """The same with what every layer attends to."""
    if call.rows is None or call.like is None or call.observed:
        return call
    layer = LayerCall(call.like, 0, None, call.rows)
    masks = [None if part is None else dict(part.masks) for part in call.parts]
    banks = {}
    for block, here in places.items():
        acting = [place for place in here if call.parts[place.slot] is not None]
        found = [
            (place, image_bank(place.application, place.index, layer, part_of(place, call, layer))) for place in acting
        ]
        banks[block] = tuple(
            ReadyBank(bank, masks[place.slot] if place.masked else None) for place, bank in found if bank is not None
        )
    return call._replace(banks=banks)


def ready_banks(call: ModelParts, block: Block, query: Tensor, options: Options) -> list[ImageBank] | None:
    """What a layer attends to, as made ready before; None where the layer is called otherwise than expected."""
    found, like = call.banks.get(block), call.like
    if found is None or like is None or query.shape[0] != call.batch:
        return None
    if query.dtype != like.dtype or query.device != like.device:
        return None
    banks = []
    for bank, masks in found:
        if masks is not None:
            height, width = options.get("activations_shape", (0, 0))[-2:]
            if (height, width) not in masks or height * width != query.shape[1]:
                return None
            bank = ImageBank(bank.key, bank.value, masks[height, width])
        banks.append(bank)
    return banks


def image_outputs(places: Sequence[Place], call: ModelParts, layer: LayerCall) -> Weighed | None:
    """What all of them add at one layer; None if nothing. A lone one is not multiplied yet, which saves a pass over it."""
    total = None
    for bank in banks_at(places, call, layer):
        output = attended(layer.query, bank, layer.heads)
        total = (
            output
            if total is None
            else Weighed(add_weighed(add_weighed(None, total, own=True), output, own=True), None)
        )
    return total
