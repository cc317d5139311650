"""What a row for a kind of file is made of, and how sizes are read off shapes; the rows are in the files beside this one.

Everything here is given keys whose dimensions `signature` has promised and whose sizes are at least 1.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..limits import DEPTH, LAYER_DIGITS, TOKENS, WIDTH
from .enums import BaseModel, Feature, FormatName, LayerKind, Negative, ProjectorKind
from .spec import ProjectorSpec, Shapes

HEAD_WIDTH = 64  # of every published resampler
IDENTITY_WIDTH = 512  # of every ArcFace model
Signature = Mapping[str, int]
Renames = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Format:
    """One projector: the keys of `signature` (below `image_proj.`) must be there with as many dimensions and `fits(shapes)`
    hold, then `measure(shapes, context_width)` gives the sizes. `base` is the model it was made for, where the layers'
    sizes alone do not say.
    """

    name: FormatName
    signature: Signature
    measure: Callable[[Shapes, int], ProjectorSpec]
    fits: Callable[[Shapes], bool] = lambda shapes: True
    base: BaseModel | None = None

    def matches(self, projector: Shapes) -> bool:
        """Whether a projector's keys and shapes are this format's."""
        there = all(len(projector.get(key, ())) == count for key, count in self.signature.items())
        return there and bool(self.signature) == bool(projector) and self.fits(projector)


@dataclass(frozen=True)
class Layout:
    """One way to name, number and equip an adapter's layers, and the projectors that go with it.

    Layers are numbered `first`, `first + step` and so on; `parts` are the keys of each. `renames` bring the file's names to
    `image_proj.*`, `ip_adapter.<number>.<part>` and `lora.*`. `lora` is a pattern of the LoRA keys that it may hold beside
    them. `publishes` are the ways back, from those names to the published file's. `options` are what trainers write into a
    file's metadata and the values that we compute, where the tensors do not show them. `base` is None where sizes tell it.
    `reads` are the parts that image tokens pass, `ends` is the part whose outputs are as wide as the model, `asks` the one
    that makes queries, where the adapter has its own, `appends` one of learned tokens (1, R, C), where a layer reads some
    beside a reference's.
    """

    name: str
    first: int
    step: int
    parts: frozenset[str]
    kind: LayerKind
    formats: tuple[Format, ...]
    base: BaseModel | None = None
    renames: Renames = ()
    publishes: Renames = ()
    lora: re.Pattern[str] | None = None
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    reads: tuple[str, ...] = ("to_k_ip.weight", "to_v_ip.weight")
    ends: str = "to_k_ip.weight"
    asks: str | None = None
    appends: str | None = None


def dimensions(vectors: str = "", matrices: str = "", cubes: str = "") -> dict[str, int]:
    """A signature: keys of one, two and three dimensions, separated by spaces."""
    counted = ((vectors, 1), (matrices, 2), (cubes, 3))
    return {key: count for keys, count in counted for key in keys.split()}


NUMBER = rf"[0-9]{{1,{LAYER_DIGITS}}}"  # in a key, of a layer or a block
RESAMPLER = dimensions("", "proj_in.weight proj_out.weight layers.0.0.to_q.weight", "latents")
LINEAR = dimensions("proj.bias norm.weight norm.bias", "proj.weight")
KEY_VALUE = frozenset({"to_k_ip.weight", "to_v_ip.weight"})
BIASED = KEY_VALUE | {"to_k_ip.bias", "to_v_ip.bias"}


def depth(shapes: Shapes, prefix: str, limit: int = DEPTH) -> int:
    """How many numbered blocks there are below a prefix; numbers beyond the limit do not count."""
    number = re.compile(re.escape(prefix) + rf"({NUMBER})\.")
    found = {int(match[1]) for key in shapes if (match := number.match(key))}
    return len([one for one in found if one < limit])


def too_large(spec: ProjectorSpec) -> bool:
    """Whether any size is none that a projector has, so that nothing is made of it."""
    widths = (spec.feature_width, spec.context_width, spec.width, spec.picture_width, spec.text_width, spec.time_width)
    sizes = any(not 0 <= width <= WIDTH for width in widths) or not 0 <= spec.tokens <= TOKENS
    return sizes or spec.heads > spec.width or any(too_large(part) for part in spec.parts)


def measure_linear(shapes: Shapes, context_width: int) -> ProjectorSpec:
    """One linear layer from a pooled vector."""
    outputs, feature_width = shapes["proj.weight"]
    tokens = outputs // shapes["norm.weight"][0]
    return ProjectorSpec(ProjectorKind.LINEAR, Feature.POOLED, feature_width, context_width, tokens=tokens)


def measure_resampler(
    shapes: Shapes,
    context_width: int,
    kind: ProjectorKind = ProjectorKind.RESAMPLER,
    feature: Feature = Feature.HIDDEN,
    text_width: int = 0,
) -> ProjectorSpec:
    """The sizes of a resampler, which other projectors are made of too."""
    _, tokens, width = shapes["latents"]
    return ProjectorSpec(
        kind,
        feature,
        feature_width=shapes["proj_in.weight"][1],
        context_width=context_width,
        tokens=tokens,
        width=width,
        heads=shapes["layers.0.0.to_q.weight"][0] // HEAD_WIDTH,
        depth=depth(shapes, "layers."),
        text_width=text_width,
        negative=Negative.ZERO_PIXELS,
    )
