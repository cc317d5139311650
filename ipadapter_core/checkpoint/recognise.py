"""The one chain from a file's header to what it is, for the loader, the list of files and the presets alike."""

from dataclasses import dataclass

from ..errors import CheckpointError
from ..quoting import listed, quoted
from .detect import LOAD_NODE, detect
from .headers import Header
from .key_names import LAYERS, PROJECTOR, canonical_names
from .signatures import elsewhere
from .spec import AdapterSpec

READ = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")  # dtypes that layers can compute with


@dataclass(frozen=True)
class Recognised:
    """An adapter's description, and the canonical name of each of its keys in the file."""

    spec: AdapterSpec
    names: dict[str, str]


def recognise(header: Header, file: str) -> Recognised:
    """What an adapter file is; raises `CheckpointError` that says what it is instead and which node takes it."""
    names = canonical_names(header.tensors)
    shapes = header.shapes
    try:
        spec = detect({name: shapes[key] for key, name in names.items()}, file, header.metadata)
    except CheckpointError:
        said = elsewhere(header, any(name.startswith((PROJECTOR, LAYERS)) for name in names.values()))
        if said is None:
            raise
        raise CheckpointError(f"{quoted(file)}: is {said}") from None
    others = {header.tensors[key].dtype for key in names} - set(READ)
    if others:
        raise CheckpointError(
            f"{quoted(file)}: tensors of {listed(sorted(others))}, expected floating point of 8 to 64 bits: {LOAD_NODE}"
        )
    return Recognised(spec, names)
