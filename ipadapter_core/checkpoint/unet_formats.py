"""Rows for adapters of UNets that read images; those that read faces, styles and instructions are in `face_formats.py`.

Layouts: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py and resampler.py, and its training scripts, which save
`image_proj_model.*` and `adapter_modules.N.*`; ID-Animator/ID-Animator (0170eed), faceadapter/, which names the keys and values
`to_k_face` and `to_v_face`.
"""

from .enums import BaseModel, Feature, FormatName, LayerKind, Negative, ProjectorKind
from .face_formats import FACE_FORMATS, FACE_RENAMES
from .formats import (
    IDENTITY_WIDTH,
    KEY_VALUE,
    LINEAR,
    RESAMPLER,
    Format,
    Layout,
    dimensions,
    measure_linear,
    measure_resampler,
)
from .pulid_formats import SDXL_FORMATS, SDXL_RENAMES
from .spec import ProjectorSpec, Shapes

KOLORS_WIDTH = 2048  # of the Kolors resampler; no other plus adapter has one as wide


def _mlp(shapes: Shapes, context_width: int) -> ProjectorSpec:
    width, feature_width = shapes["proj.0.weight"]
    kind, feature = ProjectorKind.MLP, Feature.HIDDEN
    return ProjectorSpec(kind, feature, feature_width, context_width, width=width, negative=Negative.ZERO_PIXELS)


def _reads_images(shapes: Shapes) -> bool:
    return shapes["proj_in.weight"][1] != IDENTITY_WIDTH and "proj_new_input.weight" not in shapes


def _is_kolors(shapes: Shapes) -> bool:
    return _reads_images(shapes) and shapes["latents"][2] == KOLORS_WIDTH


def _is_plus(shapes: Shapes) -> bool:
    return _reads_images(shapes) and shapes["latents"][2] != KOLORS_WIDTH


UNET_FORMATS = (
    Format(FormatName.BASE, LINEAR, measure_linear),
    Format(FormatName.FULL_FACE, dimensions("proj.3.weight", "proj.0.weight proj.2.weight"), _mlp),
    Format(FormatName.PLUS, RESAMPLER, measure_resampler, _is_plus),
    Format(FormatName.PLUS, RESAMPLER, measure_resampler, _is_kolors, BaseModel.KOLORS),
)
UNET_LAYOUT = Layout(
    "UNet",
    1,
    2,
    KEY_VALUE,
    LayerKind.PLAIN,
    UNET_FORMATS + FACE_FORMATS + SDXL_FORMATS,
    renames=(
        (r"adapter_modules\.([0-9]+)\.to_([kv])_face\.", r"ip_adapter.\1.to_\2_ip."),
        (r"adapter_modules\.", "ip_adapter."),
        (r"image_proj_model\.", "image_proj."),
        *FACE_RENAMES,
        *SDXL_RENAMES,
    ),
)
