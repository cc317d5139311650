"""Rows for Lynx, whose resampler is a file of its own, and which of a file's layers is which.

Layout: bytedance/lynx (3a6a91a), modules/lite/attention_processor.py, modules/full/attention_processor.py and
modules/common/resampler.py, where layers are numbered one after the other; Kijai/WanVideo_comfy, where a layer has the number
of its block. `cross` stands for the block's cross-attention; keys of the resampler are those below `image_proj.`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from .enums import BaseModel, Feature, FormatName, LayerKind, Negative, ProjectorKind
from .formats import IDENTITY_WIDTH, RESAMPLER, Format, Layout, measure_resampler
from .spec import ProjectorSpec, Shapes

READS = ("cross.to_k_ip.weight", "cross.to_v_ip.weight")
REGISTERS = "cross.registers"
LAYER = re.compile(r"ip_adapter\.([0-9]+)\.(cross\..+)")


def _resampler(shapes: Shapes, context_width: int) -> ProjectorSpec:
    measured = measure_resampler(shapes, context_width, ProjectorKind.FACE_RESAMPLER, Feature.IR_SE50)
    return replace(measured, negative=Negative.ZERO_FEATURES)


def _elsewhere(_: Shapes, context_width: int) -> ProjectorSpec:
    return ProjectorSpec(ProjectorKind.SECOND_FILE, Feature.IR_SE50, IDENTITY_WIDTH, context_width)


def _reads_identities(shapes: Shapes) -> bool:
    return shapes["proj_in.weight"][1] == IDENTITY_WIDTH


FORMATS = (
    Format(FormatName.LYNX, RESAMPLER, _resampler, _reads_identities),
    Format(FormatName.LYNX, {}, _elsewhere),
)
LYNX_LITE = Layout(
    "Wan by Lynx lite",
    0,
    1,
    frozenset(READS),
    LayerKind.WIDE_NORM,
    FORMATS,
    BaseModel.WAN,
    renames=(
        (r"blocks\.([0-9]+)\.cross_attn\.ip_adapter\.", r"ip_adapter.\1.cross."),
        (r"([0-9]+)\.(to_[kv]_ip\.(?:weight|bias)|registers)$", r"ip_adapter.\1.cross.\2"),
    ),
    reads=READS,
    ends=READS[0],
)
LYNX_FULL = Layout(
    "Wan by Lynx full",
    0,
    1,
    frozenset((*READS, "cross.to_k_ip.bias", "cross.to_v_ip.bias", REGISTERS)),
    LayerKind.MODEL_NORM,
    FORMATS,
    BaseModel.WAN,
    reads=READS,
    ends=READS[0],
    appends=REGISTERS,
)


def numbered_one_by_one(names: Mapping[str, str]) -> dict[str, str]:
    """The canonical names with layers of every second block counted like all others: 0, 2, 4 become 0, 1, 2."""
    found = {key: match for key, name in names.items() if (match := LAYER.fullmatch(name))}
    numbers = {int(match[1]) for match in found.values()}
    if any(number % 2 for number in numbers):
        return dict(names)
    halved = {key: f"ip_adapter.{int(match[1]) // 2}.{match[2]}" for key, match in found.items()}
    return dict(names) | halved
