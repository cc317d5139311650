"""What a file is: an adapter, an image encoder, or neither."""

from pathlib import Path

from ..checkpoint.detect import detect
from ..checkpoint.headers import FileCache, read_shapes
from ..checkpoint.key_names import canonical_names
from ..checkpoint.spec import AdapterSpec, BaseModel, Feature
from ..encoders.sizes import EncoderSizes, encoder_sizes
from ..errors import CheckpointError

KOLORS_POSITIONS = 577


def _adapter(path: Path) -> AdapterSpec | None:
    try:
        shapes = read_shapes(path)
        names = canonical_names(shapes)
        return detect({name: shapes[key] for key, name in names.items()}, path.name)
    except CheckpointError:
        return None


def _encoder(path: Path) -> EncoderSizes | None:
    try:
        return encoder_sizes(read_shapes(path))
    except CheckpointError:
        return None


adapter_kind = FileCache(_adapter)
encoder_kind = FileCache(_encoder)


def needs_encoder(spec: AdapterSpec) -> bool:
    """Whether the adapter looks at pictures; FaceID and Portrait read identities alone."""
    return spec.projector.feature not in (Feature.FACE, Feature.RAW_FACE)


def encoder_fits(sizes: EncoderSizes, spec: AdapterSpec) -> bool:
    """Whether an encoder makes what the adapter reads."""
    projector = spec.projector
    if projector.feature in (Feature.POOLED, Feature.STYLE):
        return projector.feature is Feature.POOLED and sizes.pooled == projector.feature_width
    if (spec.base is BaseModel.KOLORS) != (sizes.positions == KOLORS_POSITIONS):
        return False
    return sizes.hidden == (projector.picture_width or projector.feature_width)
