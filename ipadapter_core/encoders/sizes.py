"""The sizes of a CLIP vision file, from the shapes of its tensors."""

import re
from typing import NamedTuple

from ..checkpoint.formats import NUMBER
from ..checkpoint.spec import Shapes


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


VISION = "vision_model."


LAYOUTS = (  # position table, layer number, projection and the side on which it has the pooled width
    (
        f"{VISION}embeddings.position_embedding.weight",
        rf"vision_model\.encoder\.layers\.({NUMBER})\.",
        "visual_projection.weight",
        0,
    ),
    ("visual.positional_embedding", rf"visual\.transformer\.resblocks\.({NUMBER})\.", "visual.proj", 1),
)


def encoder_sizes(shapes: Shapes) -> EncoderSizes | None:
    """The sizes of a CLIP vision model in either naming; None for anything else."""
    for position_key, layer, projection, side in LAYOUTS:
        positions = shapes.get(position_key)
        if positions is None or len(positions) != 2:
            continue
        numbers = {int(match[1]) for key in shapes if (match := re.match(layer, key))}
        projected = shapes.get(projection, ())
        pooled = projected[side] if len(projected) == 2 else 0
        return EncoderSizes(positions[1], pooled, 1 + max(numbers, default=-1), positions[0])
    return None
