"""The rows: which cases are measured, and what is measured of each."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from ...ipadapter_core.patchers.families import unet
from .adapters import encoder
from .peer import Peer, with_finished_base
from .scenes import SCENES, Layer, Scene
from .sides import Case, Given, Machine, Ours, base, floor, given
from .timing import interleaved, paired, seconds, summed, uncertainty

TOKENS, ADAPTERS, PICTURES = (4, 16, 128, 257), (1, 2, 3, 4), (2, 4, 8)
USUAL = 16  # tokens, where something else is varied
SHALLOW = 2  # layers of the encoder, whose output's values do not matter to a layer's time

CERTAIN = 0.0075  # the standard error that a row's ratio to the floor should have
ROUNDS = 6  # of so many repeats each, at most

Row = dict[str, Any]
Layers = list[tuple[Layer, dict[str, list[float]]]]


class Bench(NamedTuple):
    """What all rows share. `whole`: ours is measured with the base attention inside and the base taken off again."""

    machine: Machine
    repeats: int
    peer: Peer | None
    whole: bool


def cases(every: bool, scenes: Sequence[Scene] = SCENES) -> Iterator[Case]:
    """Each thing varied by itself and the corners; with `every`, all combinations. FLUX and SDXL have no batches here."""
    for scene in scenes:
        switches = [(mask, schedule) for mask in (False, True) for schedule in (False, True)]
        if every:
            for tokens in TOKENS:
                yield from (Case(scene, tokens, n, *on) for n in ADAPTERS for on in switches)
        else:
            yield from (Case(scene, tokens) for tokens in TOKENS)
            yield from (Case(scene, USUAL, 1, *on) for on in switches[1:])
            yield from (Case(scene, TOKENS[0], n) for n in ADAPTERS[1:])
            yield from (Case(scene, USUAL, n, *on) for n in ADAPTERS[1:] for on in (switches[0], switches[-1]))
        if scene == SCENES[0]:
            yield from (Case(scene, USUAL, pictures=count) for count in PICTURES)
            yield from (Case(scene, USUAL, pictures=count, frames=True) for count in PICTURES)


def measure(case: Case, bench: Bench) -> Row:
    """One row: a step's added time over all layers of the model, by side, in milliseconds."""
    ours = Ours(case, bench.machine)
    compared = bench.peer is not None and bench.peer.fits(case)
    patched = bench.peer.patched(case, small_encoder()) if bench.peer and compared else None
    sides = []
    for layer in case.scene.layers:
        one = given(case, layer, bench.machine)
        works = {"floor": floor(one, case, bench.machine), "ours": ours.work(one)}
        if bench.peer and patched is not None:
            works["peer"] = bench.peer.work(patched, one, ours)
        sides.append((one, works))
    layers: Layers = [(one.layer, {}) for one, _ in sides]
    step: list[float] = []
    for _ in range(ROUNDS):  # how often is decided by how uncertain a ratio is, never by what it is
        for (one, works), (_, readings) in zip(sides, layers, strict=True):
            for side, values in _readings(works, one, bench).items():
                readings.setdefault(side, []).extend(values)
        step += [seconds(ours.step, 1, bench.machine.device) for _ in range(bench.repeats)]
        totals = _totals(layers, step)
        if uncertainty(totals["ours"], totals["floor"]) <= CERTAIN:
            break
    return _parameters(case) | _figures(layers, step, case, bench)


@cache
def small_encoder():
    """An encoder of true width."""
    return encoder(SHALLOW)


def _readings(works: dict, one: Given, bench: Bench) -> dict[str, list[float]]:
    device = bench.machine.device
    if bench.whole:
        readings = interleaved({"base": base(one)} | works, bench.repeats, device)
        for side in readings.keys() - {"base", "floor"}:
            readings[side] = [all_ - alone for all_, alone in zip(readings[side], readings["base"], strict=True)]
        return readings
    real, unet.base_attention = unet.base_attention, lambda *_: one.ready
    undo = with_finished_base({id(one.key): one.ready})
    try:
        return interleaved(works, bench.repeats, device)
    finally:
        unet.base_attention = real
        undo()


def _parameters(case: Case) -> Row:
    named = case._asdict()
    scene = named.pop("scene")
    return {
        "scene": scene.name,
        "model": scene.model,
        "pixels": scene.pixels,
        "batch": scene.passes * case.pictures,
    } | named


def _totals(layers: Layers, step: list[float]) -> dict[str, list[float]]:
    """Seconds of a whole step in each repetition, by side; ours with what a step decides."""
    sides = [side for side in ("floor", "ours", "peer") if side in layers[0][1]]
    totals = {side: summed([(layer.copies, readings[side]) for layer, readings in layers]) for side in sides}
    totals["ours"] = [one + own for one, own in zip(totals["ours"], step, strict=True)]
    return totals


def _figures(layers: Layers, step: list[float], case: Case, bench: Bench) -> Row:
    totals = _totals(layers, step)
    sides = list(totals)
    row: Row = {f"{side}_ms": 1e3 * median(values) for side, values in totals.items()}
    row["ours_over_floor"] = paired(totals["ours"], totals["floor"])
    row["readings"], row["uncertainty"] = len(step), uncertainty(totals["ours"], totals["floor"])
    row["peer_ms"] = row.get("peer_ms")
    row["ours_over_peer"] = paired(totals["ours"], totals["peer"]) if "peer" in totals else None
    row["step_ms"] = 1e3 * median(step)
    row["base_ms"] = 1e3 * sum(
        layer.copies * base_seconds(case.scene, layer, case.pictures, bench) for layer, _ in layers
    )
    row["layers"] = [
        {"layer": layer.name, "count": layer.copies, "ours_over_floor": paired(readings["ours"], readings["floor"])}
        | {f"{side}_ms": 1e3 * median(readings[side]) for side in sides}
        for layer, readings in layers
    ]
    return row


_base_readings: dict[tuple, float] = {}


def base_seconds(scene: Scene, layer: Layer, pictures: int, bench: Bench) -> float:
    """The base attention of one layer, measured once for all rows that have it."""
    key = (scene, layer, pictures)
    if key not in _base_readings:
        work = base(given(Case(scene, 4, pictures=pictures), layer, bench.machine))
        times = 1 if scene.model == "FLUX" and bench.machine.device.type == "cpu" else 3
        _base_readings[key] = median(seconds(work, 1, bench.machine.device) for _ in range(times))
    return _base_readings[key]


def open_peer(folder: Path | None) -> Peer | None:
    """The other pack, if one was named."""
    return None if folder is None else Peer(folder.expanduser().resolve())


def chosen_device(name: str) -> Machine:
    """The device by name and the dtype that models run in there. Raises `SystemExit` where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: PyTorch sees no CUDA device here; run it with --device cpu")
    return Machine(torch.device(name), torch.float16 if name == "cuda" else torch.float32)
