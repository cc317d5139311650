"""A row for each published layout of an adapter's layers, and the one set of names that every layout is brought to.

Names after `canonical`: `image_proj.*`, `ip_adapter.<number>.<part>`, `lora.*`. Layouts: tencent-ailab/IP-Adapter (62e4af9);
XLabs-AI/x-flux; InstantX/FLUX.1-dev-IP-Adapter; InstantX/SD3.5-Large-IP-Adapter; LuciferTC/Anima-IP-Adapter;
sorryhyun/anima_lora (3f7ca1f3~1), networks/methods/ip_adapter.py;
instantX-research/CSGO; aihao2000/IP-Adapter-Art.
"""

import re
from typing import NamedTuple

from .face_formats import FACE_FORMATS
from .formats import (
    ANIMA_FORMATS,
    ANIMA_PERCEIVER_FORMATS,
    INSTANTX_FLUX_FORMATS,
    INSTANTX_SD3_FORMATS,
    UNET_FORMATS,
    XLABS_FORMATS,
    Format,
)
from .spec import BaseModel, LayerKind

RENAMES = (
    (re.compile(r"adapter_modules\."), "ip_adapter."),
    (re.compile(r"ip_adapter_proj_model\."), "image_proj."),
    (re.compile(r"(content|style)_image_proj\."), r"image_proj.\1."),
    (re.compile(r"encoder_hid_proj\.image_projection_layers\.0\."), "image_proj."),
    (
        re.compile(r"double_blocks\.(\d+)\.processor\.ip_adapter_double_stream_([kv])_proj\."),
        r"ip_adapter.\1.to_\2_ip.",
    ),
    (re.compile(r"blocks\.(\d+)\.ip_([kv])_proj\."), r"ip_adapter.\1.to_\2_ip."),
    (re.compile(r"blocks\.(\d+)\.adaln_ip\.1\."), r"ip_adapter.\1.gate."),
    (re.compile(r"resampler\."), "image_proj."),
    (re.compile(r"ip_centroid$"), "image_proj.ip_centroid"),
    (re.compile(r"to_([kv])_ip\.(\d+)\."), r"ip_adapter.\2.to_\1_ip."),
    (re.compile(r"ip_gate\.(\d+)$"), r"ip_adapter.\1.ip_gate"),
    (re.compile(r"lora\.base_model\.model\."), "lora."),
)


class Layout(NamedTuple):
    """One way to number and equip an adapter's layers.

    Layers are numbered `first`, `first + step` and so on; `parts` are the keys of each. `base` is None where sizes tell it.
    """

    name: str
    first: int
    step: int
    parts: frozenset[str]
    kind: LayerKind
    formats: tuple[Format, ...]
    base: BaseModel | None = None
    lora: bool = False


_KEY_VALUE = frozenset({"to_k_ip.weight", "to_v_ip.weight"})
_BIASED = _KEY_VALUE | {"to_k_ip.bias", "to_v_ip.bias"}
_JOINT = _KEY_VALUE | {
    "norm_ip.linear.weight",
    "norm_ip.linear.bias",
    "norm_q.weight",
    "norm_k.weight",
    "norm_ip_k.weight",
}

LAYOUTS = (
    Layout("UNet", 1, 2, _KEY_VALUE, LayerKind.PLAIN, UNET_FORMATS + FACE_FORMATS),
    Layout("FLUX.1 by XLabs", 0, 1, _BIASED, LayerKind.BIASED, XLABS_FORMATS, BaseModel.FLUX),
    Layout("FLUX.1 by InstantX", 0, 1, _KEY_VALUE, LayerKind.NORMED_KEY, INSTANTX_FLUX_FORMATS, BaseModel.FLUX),
    Layout("SD3.5 by InstantX", 0, 1, _JOINT, LayerKind.JOINT, INSTANTX_SD3_FORMATS, BaseModel.SD35_LARGE),
    Layout(
        "Anima by LuciferTC",
        0,
        1,
        _BIASED | {"gate.weight", "gate.bias"},
        LayerKind.GATED,
        ANIMA_FORMATS,
        BaseModel.ANIMA,
        lora=True,
    ),
    Layout(
        "Anima with PE-Core",
        0,
        1,
        _KEY_VALUE | {"ip_gate"},
        LayerKind.SCALED,
        ANIMA_PERCEIVER_FORMATS,
        BaseModel.ANIMA,
    ),
)


def canonical(key: str) -> str:
    """A file's key under the names that detection and the networks use."""
    for pattern, name in RENAMES:
        if pattern.match(key):
            return pattern.sub(name, key, count=1)
    return key


def nearest_layout(numbers: list[int], parts: set[str]) -> Layout:
    """The layout whose numbering fits and whose parts differ least from those that a file has."""
    step = 2 if all(number % 2 for number in numbers) else 1
    return min((row for row in LAYOUTS if row.step == step), key=lambda row: len(row.parts ^ parts))
