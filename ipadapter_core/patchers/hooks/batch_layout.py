"""What the pictures of a model call are: of which pass, which frame, and which part of the canvas.

Other packs change the batch between the sampler and the model: context windows take some of the frames, tiled diffusion
cuts the latent and stacks the tiles (tile by tile, each with all passes), regional prompts repeat the positive passes.
"""

import torch
from torch import Tensor

from ...errors import SamplingError
from ...masks.token_grid import CANVAS, Area
from ...sampling.batch_layout import BatchLayout
from ...sampling.polarity import polarity_of_index
from ...sampling.run import Step
from ...warn_once import warn_once

LAYOUT = "ipadapter_core_layout"
PROBES = 256  # places where a tile may be before it is given up

Options = dict


def layout_of(options: Options, step: Step, x: Tensor | None = None, masked: bool = True) -> BatchLayout:
    """How the batch of a model call is made up. Raises `SamplingError` where that cannot be known.

    `x` (B, C, H, W) is what the model is called with, by default what the sampler sees. Where each tile lies is looked
    for only when some mask has to know.
    """
    passes = options.get("cond_or_uncond") or [0]
    x = step.canvas.repeat(len(passes), 1, 1, 1) if x is None else x
    if x.shape[0] % len(passes):
        raise SamplingError(
            f"the model is called with {x.shape[0]} images in {len(passes)} passes, so that it cannot be known which of them "
            "see the reference: take out the node that splits the batch, or Apply IP-Adapter"
        )
    in_a_pass = x.shape[0] // len(passes)
    frames = frames_of(options, step.pictures)
    if in_a_pass % len(frames):
        warn_once(f"{in_a_pass} pictures came where {len(frames)} were expected: counted from the first frame")
        frames = tuple(range(in_a_pass))
    tiles = in_a_pass // len(frames)
    polarities = [step.polarities[i] if i < len(step.polarities) else polarity_of_index(i) for i in passes]
    areas = [step.areas.get(uuid, CANVAS) for uuid in options.get("uuids", ())]
    areas = (areas if len(areas) == len(passes) else [CANVAS] * len(passes)) * tiles
    if masked:
        areas = _located(areas, x, frames, step)
    size = (x.shape[-2], x.shape[-1])
    return BatchLayout(tuple(polarities * tiles), frames, tuple(areas), size, tuple(passes) * tiles)


def frames_of(options: Options, pictures: int) -> tuple[int, ...]:
    """The place in the whole batch of each picture of a pass: a context window or AnimateDiff may show a part of it.

    Both name the window's frames in transformer_options; ComfyUI's own may put one more, its anchor, before them.
    AnimateDiff-Evolved cuts its windows after the sampler's batch is known, so what it names may be fewer than `pictures`.
    """
    animatediff = (options.get("ad_params") or {}).get("sub_idxs")
    if animatediff is not None:
        return tuple(animatediff)
    window = options.get("context_window")
    if window is None or window.dim != 0:
        return tuple(range(pictures))
    anchor = getattr(window, "causal_anchor_index", None)
    shown = tuple(window.index_list) if anchor is None or anchor < 0 else (anchor, *window.index_list)
    return shown if len(shown) == pictures else tuple(range(pictures))


def _located(areas: list[Area], x: Tensor, frames: tuple[int, ...], step: Step) -> list[Area]:
    """The areas, with those of another size than `x` replaced by the place on the canvas where `x` was cut out."""
    height, width = step.canvas.shape[-2:]
    size = (x.shape[-2], x.shape[-1])
    whole = step.canvas[0 if step.pictures == len(frames) else frames[0]]
    located = []
    for number, area in enumerate(areas):
        place = None
        if (round(area.height * height), round(area.width * width)) != size:
            place = find(x[number * len(frames)], whole.to(x.device))
            if place is None:
                warn_once("the model sees an unknown part of the picture: masks are laid over each part as a whole")
                area = CANVAS
        if place is not None:
            area = Area(place[0] / height, place[1] / width, size[0] / height, size[1] / width)
        located.append(area)
    return located


def find(tile: Tensor, canvas: Tensor) -> tuple[int, int] | None:
    """Top and left of a tile (C, h, w) on a canvas (C, H, W) that holds the very same values; it may run over the edge.

    Noise does not repeat itself, so the values tell the place, whichever pack cut the tile.
    """
    height, width = tile.shape[-2:]
    if height > canvas.shape[-2] or width > canvas.shape[-1]:
        return None
    for top, left in (canvas == tile[:, :1, :1]).all(dim=0).nonzero()[:PROBES].tolist():
        if torch.equal(canvas.roll((-top, -left), (1, 2))[:, :height, :width], tile):
            return top, left
    return None
