"""From the notes of a run to heat maps over the image, overlays and masks."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import RecordingError
from ..masks.token_grid import Size, box_matrix, token_edges
from ..sampling.application import Application
from ..weights.layer_weights import places_of
from ..weights.parsing import read_blocks
from .recording import MEASURES, MapKey, MapSum, Measure, Recording

WHERE = "blocks of Attention Maps"
DIMMED, OPACITY = 0.45, 0.65  # of the image under a heat map, and of its hottest places


def attention_maps(recording: Recording, measure: Measure, size: Size, blocks: str = "") -> Tensor:
    """A map of each reference for each image, (R, F, H, W): the mean over heads, layers, steps and passes.

    References are in the order in which they were applied; `blocks` names the layers that count, none for all.
    Raises `RecordingError` where nothing was noted and `WeightError` where `blocks` names none.
    """
    if not recording.sums:
        raise RecordingError(
            "no attention was noted: put Record Attention with attention_maps on between Apply IP-Adapter and the sampler, "
            "connect the sampled image to image of Attention Maps, and bypass TorchCompileModel while you look"
        )
    noted = {key.application for key in recording.sums}
    frames = max(spot.shown(frame).stop for spot in recording.sums for frame in spot.frames)
    maps = [
        _of_application(recording, one, measure, frames, blocks) for one in recording.run.applications if one in noted
    ]
    return interpolate(torch.cat(maps), size=size, mode="bilinear", antialias=True).clamp(min=0)


def _of_application(
    recording: Recording, application: Application, measure: Measure, frames: int, blocks: str
) -> Tensor:
    """(R, F, h, w) on the grid of the latent."""
    chosen = read_blocks(blocks, places_of(application.blocks), WHERE)
    sums = {
        spot: one for spot, one in recording.sums.items() if spot.application is application and spot.block in chosen
    }
    if not sums:
        raise RecordingError(
            f"no attention was noted in the blocks '{blocks}', where the layer weights of this run are 0: change {WHERE}"
        )
    return _on_canvas(sums.items(), MEASURES.index(measure), frames)


def _on_canvas(sums: Iterable[tuple[MapKey, MapSum]], measure: int, frames: int) -> Tensor:
    """The mean of all sums at each place of the canvas, each laid where the part that it is about lies."""
    total, count = torch.zeros(()), torch.zeros(())
    for spot, (values, calls) in sums:
        height, width = spot.latent
        canvas = round(height / spot.area.height), round(width / spot.area.width)
        if total.ndim == 0:
            total = torch.zeros(values.shape[1], frames, *canvas, dtype=torch.float64)
            count = torch.zeros(1, frames, *canvas, dtype=torch.float64)
        planes = torch.unflatten(values[measure].double().cpu(), -1, spot.grid)
        planes = _to_pixels(spot.grid[0], height) @ planes @ _to_pixels(spot.grid[1], width).T
        rows = (round(spot.area.top * canvas[0]) + torch.arange(height)) % canvas[0]
        columns = (round(spot.area.left * canvas[1]) + torch.arange(width)) % canvas[1]
        for place, frame in enumerate(spot.frames):
            for shown in spot.shown(frame):
                total[:, shown, rows[:, None], columns] += planes[:, place]
                count[:, shown, rows[:, None], columns] += calls
    return total / count.clamp(min=1)


def _to_pixels(tokens: int, size: int) -> Tensor:
    """The matrix (size, tokens) that gives each latent pixel the value of the token that it belongs to."""
    return box_matrix(torch.arange(size + 1, dtype=torch.float64) / size, token_edges(tokens, size))


def as_masks(maps: Tensor, threshold: float = 0.0) -> Tensor:
    """Maps (R, F, H, W) as masks (R * F, H, W), each reference's highest place 1; above 0, a threshold makes them hard."""
    scaled = maps / maps.amax(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    masks = scaled.flatten(0, 1).float()
    return (masks >= threshold).float() if threshold > 0 else masks


def overlays(masks: Tensor, pictures: Tensor) -> Tensor:
    """Masks (R * F, H, W) as heat over dimmed images (B, H, W, 3), (R * F, H, W, 3); the last image serves all more."""
    frames = max(1, min(len(pictures), len(masks)))
    shown = pictures[torch.arange(len(masks)) % frames][..., :3].cpu().float()
    heat = masks.unsqueeze(-1)
    colour = torch.cat((3 * heat, 3 * heat - 1, 3 * heat - 2), dim=-1).clamp(0, 1)  # black, red, yellow, white
    return torch.lerp(DIMMED * shown, colour, OPACITY * heat)
