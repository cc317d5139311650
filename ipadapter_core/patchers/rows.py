"""How the batch of a model call, and then of a layer, is made up: which pass, which picture, which part of the canvas."""

from typing import Any

from ..effect import Rows
from ..key_value_bank import POSITIVE
from ..masks import CANVAS
from ..notice import say_once
from ..polarity import polarity_of_index
from ..step import Step


def rows_of_call(batch: int, options: dict[str, Any], step: Step) -> Rows | None:
    """The make-up of a model call; None, said once in the log, where it cannot be known.

    ComfyUI puts the passes one after the other. A batch that is a multiple of theirs comes from a pack that cuts the
    canvas into tiles and lets each tile bring all its passes.
    """
    passes = options.get("cond_or_uncond") or [0] * max(1, batch // step.pictures)
    tiles, rest = divmod(batch, len(passes) * step.pictures)
    if rest or not tiles:
        say_once(f"a model call has a batch of {batch} for {len(passes)} passes of {step.pictures}: left as it is")
        return None
    polarities = [
        step.polarities[index] if index < len(step.polarities) else polarity_of_index(index) for index in passes
    ]
    areas = [step.areas.get(uuid, CANVAS) for uuid in options.get("uuids", ())] if step.areas else []
    areas = areas if len(areas) == len(passes) else [CANVAS] * len(passes)
    return Rows(tuple(polarities) * tiles, frames_of(options, step.pictures), tuple(areas) * tiles)


def rows_of_layer(batch: int, rows: Rows | None, pictures: int) -> Rows | None:
    """The make-up at a layer, whose batch packs that couple prompts to regions enlarge: by copies of each positive pass."""
    if rows is None or batch == len(rows.polarities) * pictures:
        return rows
    positives = rows.polarities.count(POSITIVE)
    copies, rest = divmod(batch // pictures - (len(rows.polarities) - positives), max(positives, 1))
    if rest or copies < 1 or batch % pictures:
        say_once(f"a layer has a batch of {batch} for {len(rows.polarities)} passes of {pictures}: left as it is")
        return None
    repeats = [copies if side == POSITIVE else 1 for side in rows.polarities]
    polarities = [side for side, times in zip(rows.polarities, repeats, strict=True) for _ in range(times)]
    areas = [area for area, times in zip(rows.areas, repeats, strict=True) for _ in range(times)]
    return Rows(tuple(polarities), rows.frames, tuple(areas))


def frames_of(options: dict[str, Any], pictures: int) -> tuple[int, ...]:
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
