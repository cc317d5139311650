"""The row for InstantCharacter, whose projector reads an image at two scales through two encoders.

Layout: Tencent/InstantCharacter (202b193), pipeline.py, models/resampler.py and models/attn_processor.py; keys of the
projector are those below `image_proj.`.
"""

from dataclasses import replace

from .enums import BaseModel, Feature, FormatName, LayerKind, Negative, ProjectorKind
from .formats import BIASED, Format, Layout, depth, dimensions, measure_resampler
from .spec import ProjectorSpec, Shapes

RESAMPLER = "resampler."
TWO_SCALES = dimensions(
    matrices="cross_layer_blocks.0.attn1.to_q.weight cross_scale_blocks.0.attn1.to_q.weight proj.fc1.weight "
    "resampler.proj_in.weight resampler.layers.0.0.to_q.weight resampler.time_embedding.linear_1.weight",
    cubes="resampler.latents",
)


def _two_scales(shapes: Shapes, context_width: int) -> ProjectorSpec:
    inner = {key.removeprefix(RESAMPLER): shape for key, shape in shapes.items() if key.startswith(RESAMPLER)}
    measured = measure_resampler(inner, context_width, ProjectorKind.TWO_SCALES, Feature.TWO_SCALES)
    return replace(
        measured,
        time_width=inner["time_embedding.linear_1.weight"][1],
        blocks=depth(shapes, "cross_layer_blocks."),
        negative=Negative.REFERENCE,
    )


def _as_many_blocks(shapes: Shapes) -> bool:
    return depth(shapes, "cross_layer_blocks.") == depth(shapes, "cross_scale_blocks.")


INSTANT_CHARACTER = Layout(
    "FLUX.1 by InstantCharacter",
    0,
    1,
    BIASED | {"norm_ip_q.scale", "norm_ip_k.scale"},
    LayerKind.OWN_NORMS,
    (Format(FormatName.INSTANT_CHARACTER, TWO_SCALES, _two_scales, _as_many_blocks),),
    BaseModel.FLUX,
)
