"""Rows for PuLID.

Layout: ToTheBeginning/PuLID (1aa2fc7), pulid/encoders_transformer.py and pulid/pipeline_flux.py; keys are those below
`image_proj.`.
"""

from .enums import BaseModel, Feature, FormatName, LayerKind, ProjectorKind
from .formats import HEAD_WIDTH, Format, Layout, depth, dimensions
from .spec import ProjectorSpec, Shapes

STATES = 5  # hidden states of the image encoder, and identity tokens
NORMS = frozenset(f"norm{number}.{part}" for number in (1, 2) for part in ("weight", "bias"))
ID_FORMER = dimensions(
    matrices="proj_out layers.0.0.to_q.weight id_embedding_mapping.0.weight id_embedding_mapping.6.weight mapping_0.0.weight",
    cubes="latents",
)


def _id_former(shapes: Shapes, context_width: int) -> ProjectorSpec:
    _, tokens, width = shapes["latents"]
    return ProjectorSpec(
        ProjectorKind.ID_FORMER,
        Feature.IDENTITY_AND_STATES,
        feature_width=shapes["id_embedding_mapping.0.weight"][1],
        context_width=context_width,
        tokens=tokens,
        width=width,
        heads=shapes["layers.0.0.to_q.weight"][0] // HEAD_WIDTH,
        depth=depth(shapes, "layers."),
        picture_width=shapes["mapping_0.0.weight"][1],
    )


def _is_id_former(shapes: Shapes) -> bool:
    identity, width = shapes["id_embedding_mapping.6.weight"][0], shapes["latents"][2]
    return depth(shapes, "layers.") % STATES == 0 and identity == STATES * width


PULID_FLUX = Layout(
    "FLUX.1 by PuLID",
    0,
    1,
    NORMS | {"to_q.weight", "to_kv.weight", "to_out.weight"},
    LayerKind.OWN,
    (Format(FormatName.PULID, ID_FORMER, _id_former, _is_id_former),),
    BaseModel.FLUX,
    renames=((r"pulid_encoder\.", "image_proj."), (r"pulid_ca\.([0-9]+)\.", r"ip_adapter.\1.")),
    publishes=((r"image_proj\.", "pulid_encoder."), (r"ip_adapter\.([0-9]+)\.", r"pulid_ca.\1.")),
    reads=("to_kv.weight",),
    ends="to_out.weight",
    asks="to_q.weight",
)
