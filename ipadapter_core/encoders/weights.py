"""The tensors of an image encoder's file, judged before they are used."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors
from torch import Tensor

from ..checkpoint.headers import Header, read_header
from ..checkpoint.recognise import READ
from ..checkpoint.tensors import check_numbers
from ..errors import CheckpointError, EncoderMismatchError
from ..host import read_tensors
from ..quoting import listed, quoted

WRAPPERS = ("model_state_dict.", "state_dict.", "module.")
NAMED = 3  # tensors that a message names
UNUSED = ("position_ids", "logit_scale", "logit_bias")  # numbers that no image passes


def encoder_header(path: Path) -> Header:
    """The header of an encoder's file; raises `EncoderMismatchError` where it cannot be read or holds no plain numbers."""
    try:
        header = read_header(path)
    except CheckpointError as error:
        raise EncoderMismatchError(str(error)) from error
    others = {one.dtype for key, one in header.tensors.items() if not key.endswith(UNUSED)} - set(READ)
    if others:
        raise EncoderMismatchError(
            f"{quoted(path.name)}: tensors of {listed(sorted(others), NAMED)}, expected floating point of 8 to 64 bits: choose "
            "another encoder in Load Image Encoder"
        )
    return header


def encoder_weights(path: Path) -> dict[str, Tensor]:
    """The tensors without what trainers wrap around their names; raises `EncoderMismatchError` for NaN and infinity."""
    header = encoder_header(path)
    try:
        found = read_tensors(path, header)
        check_numbers({key: one for key, one in found.items() if one.is_floating_point()}, path.name)
    except (CheckpointError, OSError, ValueError, safetensors.SafetensorError) as error:
        said = (
            str(error)
            if isinstance(error, CheckpointError)
            else f"{quoted(path.name)}: cannot be read ({quoted(error)})"
        )
        raise EncoderMismatchError(f"{said}; choose another encoder in Load Image Encoder") from error
    return {unwrapped(key): tensor for key, tensor in found.items()}


def unwrapped(key: str) -> str:
    """A key without the names of trainers."""
    while wrapper := next((one for one in WRAPPERS if key.startswith(one)), None):
        key = key[len(wrapper) :]
    return key


def check_complete(wanted: Iterable[str], found: Mapping[str, Tensor], file: str) -> None:
    """Raises `EncoderMismatchError` where a network would be left with numbers that are not its file's."""
    missing = sorted(key for key in wanted if key not in found and not key.endswith(UNUSED))
    if missing:
        raise EncoderMismatchError(
            f"{quoted(file)}: the image encoder lacks {listed(missing, NAMED)}, the file is damaged or only a part: "
            "download it again, the vision part with its pooling head or projection"
        )
