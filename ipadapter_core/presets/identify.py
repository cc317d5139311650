"""What a file is: an adapter, an image encoder, something that belongs elsewhere, or nothing that can be read."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..checkpoint.enums import BaseModel, Feature
from ..checkpoint.file_cache import FileCache
from ..checkpoint.headers import read_header
from ..checkpoint.recognise import recognise
from ..checkpoint.second_file import resampler_in
from ..checkpoint.spec import AdapterSpec
from ..encoders.sizes import EncoderSizes, encoder_sizes
from ..errors import CheckpointError

KOLORS_POSITIONS = 577


class FileKind(str, Enum):
    """What there is to do with a file."""

    ADAPTER = "adapter"
    ENCODER = "image encoder"
    OTHER = "no adapter"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class Identity:
    """What a file is, with its description where it is an adapter or a CLIP vision model, and in words.

    `resampler` is the width of the tokens that a resampler alone makes, the second file of some adapters.
    """

    kind: FileKind
    said: str
    spec: AdapterSpec | None = None
    encoder: EncoderSizes | None = None
    resampler: int | None = None


def _identify(path: Path) -> Identity:
    try:
        header = read_header(path)
    except CheckpointError as error:
        return Identity(FileKind.UNREADABLE, str(error))
    try:
        spec = recognise(header, path.name).spec
        return Identity(FileKind.ADAPTER, spec.describe(), spec)
    except CheckpointError as error:
        sizes = encoder_sizes(header.shapes)
        alone = resampler_in(header)
        width = None if alone is None else alone.width
        return Identity(FileKind.ENCODER if sizes else FileKind.OTHER, str(error), encoder=sizes, resampler=width)


identify = FileCache(_identify)


def known_adapters(paths: Iterable[Path]) -> list[tuple[Path, AdapterSpec]]:
    """Those files that are adapters, with their descriptions."""
    return [(path, spec) for path in paths if (spec := identify(path).spec) is not None]


def needs_encoder(spec: AdapterSpec) -> bool:
    """Whether the adapter looks at images; FaceID and Portrait read identities alone."""
    return spec.projector.feature not in (Feature.FACE, Feature.RAW_FACE, Feature.IR_SE50)


def encoder_fits(sizes: EncoderSizes, spec: AdapterSpec) -> bool:
    """Whether an encoder makes what the adapter reads."""
    projector = spec.projector
    if projector.feature in (Feature.POOLED, Feature.STYLE):
        return projector.feature is Feature.POOLED and sizes.pooled == projector.feature_width
    if (spec.base is BaseModel.KOLORS) != (sizes.positions == KOLORS_POSITIONS):
        return False
    return sizes.hidden == (projector.picture_width or projector.feature_width)
