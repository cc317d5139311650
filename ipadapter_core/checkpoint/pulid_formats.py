"""Rows for PuLID.

Layouts: ToTheBeginning/PuLID (1aa2fc7), pulid/encoders_transformer.py, pulid/pipeline_flux.py and, for SDXL,
pulid/pipeline_v1_1.py and pulid/encoders.py; keys are those below `image_proj.`. huchenlei/ipadapter_pulid has v1 under
IP-Adapter's own names.
"""

from dataclasses import replace

from .enums import BaseModel, Feature, FormatName, Joining, LayerKind, ProjectorKind
from .formats import HEAD_WIDTH, Format, Layout, depth, dimensions
from .spec import ProjectorSpec, Shapes

STATES = 5  # hidden states of the image encoder, and identity tokens
NORMS = frozenset(f"norm{number}.{part}" for number in (1, 2) for part in ("weight", "bias"))
ID_FORMER = dimensions(
    matrices="proj_out layers.0.0.to_q.weight id_embedding_mapping.0.weight id_embedding_mapping.6.weight mapping_0.0.weight",
    cubes="latents",
)
ID_ENCODER = dimensions(matrices="body.0.weight body.6.weight mapping_0.0.weight mapping_patch_0.0.weight")


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


def _id_former_sdxl(shapes: Shapes, context_width: int) -> ProjectorSpec:
    return replace(_id_former(shapes, context_width), joining=Joining.READ_TOGETHER)


def _id_encoder(shapes: Shapes, context_width: int) -> ProjectorSpec:
    width, condition = shapes["body.0.weight"]
    return ProjectorSpec(
        ProjectorKind.ID_ENCODER,
        Feature.IDENTITY_AND_STATES,
        feature_width=condition,
        context_width=context_width,
        tokens=2 * STATES,
        width=width,
        picture_width=shapes["mapping_0.0.weight"][1],
        joining=Joining.IDENTITY_BESIDE,
    )


SDXL_FORMATS = (
    Format(FormatName.PULID_V1, ID_ENCODER, _id_encoder),
    Format(FormatName.PULID_V1_1, ID_FORMER, _id_former_sdxl, _is_id_former),
)
SDXL_RENAMES = (
    (r"id_adapter_attn_layers\.([0-9]+)\.id_to_([kv])\.", r"ip_adapter.\1.to_\2_ip."),
    (r"id_adapter\.", "image_proj."),
)
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
