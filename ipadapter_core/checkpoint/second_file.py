"""Adapters in two files (Lynx): the layers in one, the resampler that makes their image tokens in another."""

from pathlib import Path
from typing import NamedTuple

from ..errors import CheckpointError
from ..quoting import quoted
from .enums import ProjectorKind
from .formats import IDENTITY_WIDTH, RESAMPLER
from .headers import Header
from .key_names import PROJECTOR, WRAPPERS
from .spec import AdapterSpec

WHERE = "resampler_name of Load IP-Adapter"


class Resampler(NamedTuple):
    """A file with a resampler alone: the name of each of its keys below `image_proj.`, and the width of its tokens."""

    names: dict[str, str]
    width: int


def resampler_in(header: Header) -> Resampler | None:
    """What a resampler's file holds; None where the file is something else."""
    names = {key: f"{PROJECTOR}{_bare(key)}" for key in header.tensors}
    shapes = {name: header.tensors[key].shape for key, name in names.items()}
    there = all(len(shapes.get(f"{PROJECTOR}{key}", ())) == count for key, count in RESAMPLER.items())
    if not there or shapes[f"{PROJECTOR}proj_in.weight"][1] != IDENTITY_WIDTH:
        return None
    return Resampler(names, shapes[f"{PROJECTOR}proj_out.weight"][0])


def is_half(spec: AdapterSpec) -> bool:
    """Whether an adapter's file holds its layers alone."""
    return spec.projector.kind is ProjectorKind.SECOND_FILE


def check_whole(spec: AdapterSpec) -> None:
    """Raises `CheckpointError` where an adapter's resampler is missing."""
    if is_half(spec):
        raise CheckpointError(
            f"{spec.file}: found the layers of {spec.format} alone, expected its resampler beside them, a second file that "
            f"makes image tokens of width {spec.text_width}: put it into models/ipadapter and choose it as {WHERE}"
        )


def fitting_resampler(spec: AdapterSpec, header: Header, file: str) -> Resampler:
    """The resampler in a second file. Raises `CheckpointError` where the two do not belong together."""
    if not is_half(spec):
        raise CheckpointError(
            f"{spec.file}: {spec.format} is whole in one file, found {quoted(file)} as its resampler: set {WHERE} to auto"
        )
    found = resampler_in(header)
    if found is None or found.width != spec.text_width:
        what = "is no resampler of an identity" if found is None else f"makes image tokens of width {found.width}"
        raise CheckpointError(
            f"{spec.file} reads image tokens of width {spec.text_width} (2048 in Lynx lite, 5120 in Lynx full), but "
            f"{quoted(file)} {what}: choose the resampler that belongs to it as {WHERE}"
        )
    return found


def nearest_resampler(spec: AdapterSpec, layers: Path, files: dict[Path, int]) -> Path | None:
    """Of resamplers, by the width of their tokens, the one that fits: beside the layers' file first, then by name."""
    fitting = [path for path, width in files.items() if width == spec.text_width]
    return min(fitting, key=lambda path: (path.parent != layers.parent, path.name), default=None)


def _bare(key: str) -> str:
    while wrapper := next((one for one in (*WRAPPERS, PROJECTOR, "resampler.") if key.startswith(one)), None):
        key = key[len(wrapper) :]
    return key
