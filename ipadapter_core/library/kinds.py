"""What a file is: an adapter, an image encoder, or neither."""

import re
from pathlib import Path
from typing import NamedTuple

from ..checkpoint.detect import detect
from ..checkpoint.key_names import canonical_names
from ..checkpoint.spec import AdapterSpec, BaseModel, Feature, Shapes
from ..errors import CheckpointError
from .headers import Remembered, read_shapes


class EncoderSizes(NamedTuple):
    """A CLIP vision model: width of its hidden states, of its pooled output, layers, and positions with the class token."""

    hidden: int
    pooled: int
    layers: int
    positions: int

    @property
    def name(self) -> str:
        """What it is called, as far as the sizes are known."""
        return NAMES.get((self.hidden, self.layers, self.positions), f"an encoder of width {self.hidden}")


NAMES = {
    (1280, 32, 257): "CLIP ViT-H/14",
    (1664, 48, 257): "CLIP ViT-bigG/14",
    (1024, 24, 257): "CLIP ViT-L/14",
    (1024, 24, 577): "CLIP ViT-L/14 at 336 pixels",
}
KOLORS_POSITIONS = 577
VISION = "vision_model."
LAYOUTS = (  # position table, layer number, projection and the side on which it has the pooled width
    (f"{VISION}embeddings.position_embedding.weight", r"vision_model\.encoder\.layers\.(\d+)\.", "visual_projection.weight", 0),
    ("visual.positional_embedding", r"visual\.transformer\.resblocks\.(\d+)\.", "visual.proj", 1),
)  # fmt: skip


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


def encoder_sizes(shapes: Shapes) -> EncoderSizes | None:
    """The sizes of a CLIP vision model in either naming; None for anything else."""
    for position_key, layer, projection, side in LAYOUTS:
        positions = shapes.get(position_key)
        if positions is None or len(positions) != 2:
            continue
        numbers = [int(match[1]) for key in shapes if (match := re.match(layer, key))]
        pooled = shapes[projection][side] if projection in shapes else 0
        return EncoderSizes(positions[1], pooled, 1 + max(numbers, default=-1), positions[0])
    return None


adapter_kind = Remembered(_adapter)
encoder_kind = Remembered(_encoder)


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
