"""What the hooks of every family need: who acts at a layer, how its batch is made up, and hooks kept for a run."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor

from ..application import Application, Block
from ..effect import LayerCall, Rows, add_image_output
from ..key_value_bank import POSITIVE
from ..masks import CANVAS
from ..polarity import polarity_of_index
from ..step import Run, Step
from .sampling import Options

logger = logging.getLogger(__name__)

Part = tuple[Application, int]  # an application, and which of its layers
Hooks = TypeVar("Hooks")


def parts_by_block(applications: Sequence[Application]) -> dict[Block, tuple[Part, ...]]:
    """Who has something to add at each place of a model."""
    parts: dict[Block, tuple[Part, ...]] = {}
    for application in applications:
        for index, block in enumerate(application.blocks):
            if not application.layers[index].silent:
                parts[block] = (*parts.get(block, ()), (application, index))
    return parts


def acting_parts(parts: Sequence[Part], step: Step) -> list[Part]:
    """Those that do not rest in this step."""
    return [(application, index) for application, index in parts if step.scales[application.number] is not None]


def image_outputs(parts: Sequence[Part], call: LayerCall, step: Step) -> Tensor | None:
    """What all parts add at one layer, (B, L, D); None if nothing."""
    out = None
    for application, index in parts:
        factor = step.scales[application.number]
        assert factor is not None
        out = add_image_output(out, application, index, call, factor)
    return out


def batch_rows(batch: int, options: Options, step: Step) -> Rows | None:
    """How a layer's batch is made up; None, said once in the log, where it cannot be known.

    Packs that couple prompts to regions enlarge the batch of the positive passes; that is recognised by its size.
    """
    passes = options.get("cond_or_uncond") or [0] * (batch // step.pictures)
    polarities = [
        step.polarities[index] if index < len(step.polarities) else polarity_of_index(index) for index in passes
    ]
    areas = [step.areas.get(uuid, CANVAS) for uuid in options.get("uuids", ())] if step.areas else []
    areas = areas if len(areas) == len(passes) else [CANVAS] * len(passes)
    if batch != len(passes) * step.pictures:
        positives = polarities.count(POSITIVE)
        copies, rest = divmod(batch // step.pictures - (len(passes) - positives), max(positives, 1))
        if rest or copies < 1 or batch % step.pictures:
            logger.warning("IP-Adapter: a layer has a batch of %d, expected %d passes of %d: left as it is",
                           batch, len(passes), step.pictures)  # fmt: skip
            return None
        repeats = [copies if side == POSITIVE else 1 for side in polarities]
        polarities = [side for side, times in zip(polarities, repeats, strict=True) for _ in range(times)]
        areas = [area for area, times in zip(areas, repeats, strict=True) for _ in range(times)]
    return Rows(tuple(polarities), frames_of(options, step.pictures), tuple(areas))


def frames_of(options: Options, pictures: int) -> tuple[int, ...]:
    """The place in the whole batch of each picture of a pass: a context window or AnimateDiff may show a part of it."""
    window = options.get("context_window")
    shown = None
    if window is not None and window.dim == 0:
        shown = list(window.index_list)
        anchor = getattr(window, "causal_anchor_index", None)
        if anchor is not None and anchor >= 0:
            shown = [anchor, *shown]
    elif options.get("ad_params"):
        shown = options["ad_params"].get("sub_idxs")
    return tuple(shown) if shown is not None and len(shown) == pictures else tuple(range(pictures))


def kept(run: Run, applications: list[Application], foreign: dict[Any, Any], build: Callable[[], Hooks]) -> Hooks:
    """The hooks that were built for the same applications around the same foreign objects, or new ones."""
    for key, hooks in run.composed:
        if _same(key, (applications, foreign)):
            return hooks
    hooks = build()
    run.composed.append(((list(applications), dict(foreign)), hooks))
    return hooks


def _same(left: tuple[list, dict], right: tuple[list, dict]) -> bool:
    """Whether two states of the hooks hold the very same objects."""
    (applications, foreign), (others, other_foreign) = left, right
    return (
        len(applications) == len(others)
        and all(one is other for one, other in zip(applications, others, strict=True))
        and foreign.keys() == other_foreign.keys()
        and all(foreign[key] is other_foreign[key] for key in foreign)
    )
