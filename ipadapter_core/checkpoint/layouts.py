"""Every kind of adapter file that is known: a row each, kept by family in the files beside this one."""

import re

from .character_formats import INSTANT_CHARACTER
from .enums import LayerKind
from .formats import Layout
from .lynx_formats import LYNX_FULL, LYNX_LITE
from .pulid_formats import PULID_FLUX
from .transformer_formats import INSTANTX_FLUX, INSTANTX_SD3, LUCIFERTC, PE_CORE, XLABS_FLUX
from .unet_formats import UNET_LAYOUT

LAYOUTS: tuple[Layout, ...] = (
    UNET_LAYOUT, XLABS_FLUX, INSTANTX_FLUX, INSTANTX_SD3, LUCIFERTC, PE_CORE, PULID_FLUX, LYNX_LITE, LYNX_FULL,
    INSTANT_CHARACTER,
)  # fmt: skip
RENAMES = tuple((re.compile(pattern), name) for row in LAYOUTS for pattern, name in row.renames)


def canonical(key: str) -> str:
    """A file's key under the names that detection and the networks use."""
    for pattern, name in RENAMES:
        if pattern.match(key):
            return pattern.sub(name, key, count=1)
    return key


def published(kind: LayerKind, name: str) -> str:
    """The key under which the published files with layers of a kind hold what we know by a canonical name."""
    row = next(row for row in LAYOUTS if row.kind is kind)
    for pattern, key in row.publishes:
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", key, name, count=1)
    return name


def nearest_layout(numbers: list[int], parts: set[str]) -> Layout:
    """The layout whose numbering fits and whose parts differ least from those that a file has."""
    step = 2 if all(number % 2 for number in numbers) else 1
    return min((row for row in LAYOUTS if row.step == step), key=lambda row: len(row.parts ^ parts))
