"""A training's checkpoint: weights, their average, the optimiser's state and the losses, as one safetensors file.

The file is written beside its final name first and takes it over when it is whole: whatever happens meanwhile, the last
good one stays. Numbers come back to the bit.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..adapter.whole_file import write_whole
from ..checkpoint.headers import read_header
from ..errors import CheckpointError, TrainingError
from ..quoting import quoted

FORMAT = "ipadapter_core_training_1"
PARAMETERS, AVERAGE, OPTIMISER, LOSSES = "parameters.", "average.", "optimiser.", "losses"
BROKEN = (CheckpointError, SafetensorError, OSError, ValueError, KeyError, TypeError)  # what broken files raise


class TrainingState(NamedTuple):
    """Everything that a training needs to go on: the losses of all its steps (S) in float64 among it."""

    parameters: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    losses: Tensor
    seconds: float


def write_state(file: Path, state: TrainingState, identity: str) -> None:
    """Writes a checkpoint, whole or not at all. Raises `TrainingError` where there is no room, and leaves what was there."""
    tensors = _named(PARAMETERS, state.parameters) | _named(AVERAGE, state.average) | {LOSSES: state.losses}
    numbers: dict[str, dict[str, Any]] = {}
    for place, entries in cast(Mapping[int, Mapping[str, Any]], state.optimiser["state"]).items():
        tensors |= {f"{OPTIMISER}{place}.{key}": one for key, one in entries.items() if isinstance(one, Tensor)}
        numbers[str(place)] = {key: one for key, one in entries.items() if not isinstance(one, Tensor)}
    metadata = {
        "format": FORMAT,
        "identity": identity,
        "seconds": json.dumps(state.seconds),
        "groups": json.dumps(state.optimiser["param_groups"]),
        "numbers": json.dumps(numbers),
    }
    try:
        write_whole(tensors, file, metadata)
    except OSError as error:
        kept = f"the one of step {_steps_in(file)} stays" if file.is_file() else "there is none yet"
        raise TrainingError(
            f"the training's checkpoint of step {len(state.losses)} cannot be written ({quoted(error)}), expected room in "
            f"{quoted(file.parent)}; {kept}: make room and run Train IP-Adapter again, it goes on from there"
        ) from error


def read_state(file: Path, identity: str) -> TrainingState:
    """Reads what `write_state` wrote. Raises `TrainingError` where the file is broken or another training's."""
    try:
        header = read_header(file)
        found = header.metadata
        if found.get("format") != FORMAT or found.get("identity") != identity:
            raise ValueError("it belongs to another training")
        with safe_open(file, "pt") as opened:
            tensors = {key: opened.get_tensor(key).clone() for key in header.tensors}
        state = {int(place): dict(entries) for place, entries in json.loads(found["numbers"]).items()}
        for key, tensor in _below(OPTIMISER, tensors).items():
            place, _, name = key.partition(".")
            state[int(place)][name] = tensor
        optimiser = {"state": state, "param_groups": json.loads(found["groups"])}
        return TrainingState(
            _below(PARAMETERS, tensors),
            _below(AVERAGE, tensors),
            optimiser,
            tensors[LOSSES],
            json.loads(found["seconds"]),
        )
    except BROKEN as error:
        raise TrainingError(
            f"{quoted(file.name)}: cannot be gone on from ({quoted(error)}), expected a checkpoint that Train IP-Adapter "
            "wrote with these very settings: delete the file, or give the training another name"
        ) from error


def _steps_in(file: Path) -> int:
    try:
        return read_header(file).shapes[LOSSES][0]
    except BROKEN:
        return 0


def _named(start: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {start + key: tensor.detach() for key, tensor in tensors.items()}


def _below(start: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
