"""What the images of a model call are: of which pass, which frame, and which part of the canvas.

Other packs change the batch between the sampler and the model: context windows take some of the frames, tiled diffusion
cuts the latent and stacks the tiles (tile by tile, each with all passes), regional prompts repeat the positive passes.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ...adapter.key_value_bank import POSITIVE
from ...errors import SamplingError
from ...masks.token_grid import CANVAS, Area
from ...prompt.words import TextTokens
from ...sampling.batch_layout import BatchLayout
from ...sampling.polarity import polarity_of_index
from ...sampling.run import Step

LAYOUT = "ipadapter_core_layout"
VIDEO = 5  # dimensions of a latent (B, C, F, H, W)
PROBES = 256  # places where a tile may be before it is given up

Options = dict[str, Any]


def layout_of(options: Options, step: Step, x: Tensor | None = None, masked: bool = True) -> BatchLayout:
    """How the batch of a model call is made up. Raises `SamplingError` where that cannot be known.

    `x` (B, C, H, W) is what the model is called with, by default what the sampler sees. Where each tile lies is looked
    for only when some mask has to know.
    """
    passes = passes_of(options)
    x = step.canvas.repeat(len(passes), *[1] * (step.canvas.ndim - 1)) if x is None else x
    if x.shape[0] % len(passes):
        raise _unknown_batch(x, passes)
    in_a_pass = x.shape[0] // len(passes)
    frames = frames_of(options, step.pictures)
    if in_a_pass % len(frames):
        frames = _shown(x, passes, step)
    tiles = in_a_pass // len(frames)
    polarities = [step.polarities[i] if i < len(step.polarities) else polarity_of_index(i) for i in passes]
    areas = [step.areas.get(uuid, CANVAS) for uuid in options.get("uuids", ())]
    areas = (areas if len(areas) == len(passes) else [CANVAS] * len(passes)) * tiles
    if masked:
        areas = _located(areas, x, frames, step)
    size = (x.shape[-2], x.shape[-1])
    rows = frames * len(passes) * tiles
    texts = tuple(_texts(options, step, polarities) * tiles)
    sides, indices = tuple(polarities * tiles), tuple(passes) * tiles
    clip = x.shape[2] if x.ndim == VIDEO else 1
    return BatchLayout(sides, rows, tuple(areas), size, indices, texts, step.announced, clip)


def _texts(options: Options, step: Step, polarities: Sequence[int]) -> list[TextTokens | None]:
    """The tokens of each pass, where a reference belongs to words. Raises `SamplingError` where it cannot be known."""
    if step.texts is None:
        return []
    texts: list[TextTokens | None] = [step.texts.get(uuid) for uuid in options.get("uuids", ())]
    if len(texts) != len(polarities) or any(
        side == POSITIVE and text is None for side, text in zip(polarities, texts, strict=True)
    ):
        raise SamplingError(
            "another pack calls the model without saying whose texts these are, and a reference belongs to words of one: take "
            "out that sampler or model node, or Words for Reference"
        )
    return texts


def passes_of(options: Options) -> list[int]:
    """The passes of a model call, by their index in the guider's call. Raises `SamplingError` where it names none."""
    passes = options.get("cond_or_uncond")
    if not passes:
        raise SamplingError(
            "another pack calls the model without cond_or_uncond in its options, so that it cannot be known which passes see "
            "the reference: take out that sampler or model node, or Apply IP-Adapter"
        )
    return list(passes)


def frames_of(options: Options, pictures: int) -> tuple[int, ...]:
    """The place in the whole batch of each image of a pass: a context window or AnimateDiff may show a part of it.

    Both name the window's frames in transformer_options; ComfyUI's own may put one more, its anchor, before them.
    AnimateDiff-Evolved cuts its windows after the sampler's batch is known, so what it names may be fewer than `pictures`.
    """
    window_of_animatediff: Options = options.get("ad_params") or {}
    animatediff = window_of_animatediff.get("sub_idxs")
    if animatediff is not None:
        return tuple(animatediff)
    window = options.get("context_window")
    if window is None or window.dim != 0:
        return tuple(range(pictures))
    anchor = getattr(window, "causal_anchor_index", None)
    shown = tuple(window.index_list) if anchor is None or anchor < 0 else (anchor, *window.index_list)
    return shown if len(shown) == pictures else tuple(range(pictures))


def _shown(x: Tensor, passes: Sequence[int], step: Step) -> tuple[int, ...]:
    """The place in the whole batch of each image of a pass, by its values, where another pack shows some that it does not
    name; every pass has to show the same.

    Raises `SamplingError` where they cannot be told.
    """
    canvas = step.canvas.to(x.device)
    found = [[frame for frame, whole in enumerate(canvas) if find(row, whole) is not None] for row in x]
    shown = [frames[0] if len(frames) == 1 else None for frames in found]
    in_a_pass = len(shown) // len(passes)
    first = tuple(frame for frame in shown[:in_a_pass] if frame is not None)
    if len(first) < in_a_pass or shown != list(first) * len(passes):
        raise _unknown_batch(x, passes)
    return first


def _unknown_batch(x: Tensor, passes: Sequence[int]) -> SamplingError:
    return SamplingError(
        f"the model is called with {x.shape[0]} images in {len(passes)} passes, so that it cannot be known which of them see "
        "the reference: take out the node that splits the batch, or Apply IP-Adapter"
    )


def _located(areas: list[Area], x: Tensor, frames: tuple[int, ...], step: Step) -> list[Area]:
    """The areas, with those of another size than `x` replaced by the place on the canvas where `x` was cut out.

    Raises `SamplingError` where a part's place cannot be found.
    """
    height, width = step.canvas.shape[-2:]
    size = (x.shape[-2], x.shape[-1])
    whole = step.canvas[0 if step.pictures == len(frames) else frames[0]]
    located: list[Area] = []
    for number, area in enumerate(areas):
        if (round(area.height * height), round(area.width * width)) != size:
            place = find(x[number * len(frames)], whole.to(x.device))
            if place is None:
                raise SamplingError(
                    f"the model is called with a part of {size[1]} x {size[0]} latent pixels that lies nowhere on the canvas "
                    f"of {width} x {height}, so that a mask cannot be laid over it: take out the node that changes the "
                    "latent, or the mask in Apply IP-Adapter"
                )
            area = Area(place[0] / height, place[1] / width, size[0] / height, size[1] / width)
        located.append(area)
    return located


def find(tile: Tensor, canvas: Tensor) -> tuple[int, int] | None:
    """Top and left of a tile (.., h, w) on a canvas (.., H, W) that holds the very same values; it may run over the edge.

    Noise does not repeat itself, so the values tell the place, whichever pack cut the tile.
    """
    tile, canvas = tile.flatten(0, -3), canvas.flatten(0, -3)
    height, width = tile.shape[-2:]
    if height > canvas.shape[-2] or width > canvas.shape[-1] or len(tile) != len(canvas):
        return None
    corners = (canvas == tile[:, :1, :1]).all(dim=0).nonzero()[:PROBES]
    for top, left in cast(Any, corners).tolist():  # which has no types in PyTorch
        if torch.equal(canvas.roll((-top, -left), (1, 2))[:, :height, :width], tile):
            return top, left
    return None
