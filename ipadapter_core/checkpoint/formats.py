"""A row for each published projector layout: the keys that give it away and how its sizes are read off the shapes.

Keys are those below `image_proj.`. Layouts: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py and resampler.py;
XLabs-AI/x-flux; InstantX/FLUX.1-dev-IP-Adapter and InstantX/SD3.5-Large-IP-Adapter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from .spec import BaseModel, Feature, Negative, ProjectorKind, ProjectorSpec, Shapes

HEAD_WIDTH = 64  # of every published resampler
PERCEIVER_HEADS = 8  # of sorryhyun's trainer, which writes them into the metadata
IDENTITY_WIDTH = 512  # of every ArcFace model
KOLORS_WIDTH = 2048  # of the Kolors resampler; no other plus adapter has one as wide
RESAMPLER_KEYS = frozenset({"latents", "proj_in.weight", "proj_out.weight", "layers.0.0.to_q.weight"})


@dataclass(frozen=True)
class Format:
    """One layout: `signature` keys must all be there and `fits(shapes)` hold, then `measure(shapes, context_width)` gives
    the sizes. `base` is the model it was made for, where the layers' sizes alone do not say.
    """

    name: str
    signature: frozenset[str]
    measure: Callable[[Shapes, int], ProjectorSpec]
    fits: Callable[[Shapes], bool] = lambda shapes: True
    base: BaseModel | None = None


def _linear(shapes: Shapes, context_width: int) -> ProjectorSpec:
    outputs, feature_width = shapes["proj.weight"]
    return ProjectorSpec(
        ProjectorKind.LINEAR, Feature.POOLED, feature_width, context_width, tokens=outputs // shapes["norm.weight"][0]
    )


def _mlp(shapes: Shapes, context_width: int) -> ProjectorSpec:
    width, feature_width = shapes["proj.0.weight"]
    return ProjectorSpec(
        ProjectorKind.MLP,
        Feature.HIDDEN,
        feature_width,
        context_width,
        width=width,
        negative=Negative.ZERO_PIXELS,
    )


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
        depth=1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("layers.")),
        text_width=text_width,
        negative=Negative.ZERO_PIXELS,
    )


def _black(shapes: Shapes, context_width: int) -> ProjectorSpec:
    return replace(_linear(shapes, context_width), negative=Negative.BLACK_PICTURE)


def _mlp_tokens(shapes: Shapes, context_width: int) -> ProjectorSpec:
    width, feature_width = shapes["proj.0.weight"]
    return ProjectorSpec(
        ProjectorKind.MLP_TOKENS,
        Feature.ATTENTION_POOLED,
        feature_width,
        context_width,
        tokens=shapes["proj.2.weight"][0] // context_width,
        width=width,
    )


def _time_resampler(shapes: Shapes, context_width: int) -> ProjectorSpec:
    return replace(
        measure_resampler(shapes, context_width),
        kind=ProjectorKind.TIME_RESAMPLER,
        time_width=shapes["time_embedding.linear_1.weight"][1],
        negative=Negative.ZERO_FEATURES,
    )


def _features_themselves(_: Shapes, context_width: int) -> ProjectorSpec:
    return ProjectorSpec(ProjectorKind.NONE, Feature.LAST, context_width, context_width)


def _perceiver(shapes: Shapes, context_width: int) -> ProjectorSpec:
    _, tokens, width = shapes["queries"]
    return ProjectorSpec(
        ProjectorKind.PERCEIVER,
        Feature.PERCEPTION,
        feature_width=shapes["kv_proj.weight"][1],
        context_width=context_width,
        tokens=tokens,
        width=width,
        heads=PERCEIVER_HEADS,
        depth=1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("blocks.")),
        negative=Negative.REFERENCE,
    )


def _reads_pictures(shapes: Shapes) -> bool:
    identity = shapes["proj_in.weight"][1] == IDENTITY_WIDTH
    return not identity and "proj_new_input.weight" not in shapes and shapes["latents"][2] != KOLORS_WIDTH


def _of_kolors(shapes: Shapes) -> bool:
    return shapes["latents"][2] == KOLORS_WIDTH and shapes["proj_in.weight"][1] != IDENTITY_WIDTH


UNET_FORMATS = (
    Format("base", frozenset({"proj.weight", "proj.bias", "norm.weight", "norm.bias"}), _linear),
    Format("full face", frozenset({"proj.0.weight", "proj.2.weight", "proj.3.weight"}), _mlp),
    Format("plus", RESAMPLER_KEYS, measure_resampler, _reads_pictures),
    Format("plus", RESAMPLER_KEYS, measure_resampler, _of_kolors, BaseModel.KOLORS),
)
XLABS_FORMATS = (Format("XLabs", UNET_FORMATS[0].signature, _black),)
INSTANTX_FLUX_FORMATS = (Format("InstantX", frozenset({"proj.0.weight", "proj.2.weight", "norm.weight"}), _mlp_tokens),)
INSTANTX_SD3_FORMATS = (
    Format(
        "InstantX",
        UNET_FORMATS[2].signature | {"time_embedding.linear_1.weight", "layers.0.2.1.weight"},
        _time_resampler,
    ),
)
ANIMA_FORMATS = (Format("LuciferTC", frozenset(), _features_themselves),)
PERCEIVER_KEYS = frozenset({"queries", "ip_centroid", "kv_proj.weight", "blocks.0.xattn.in_proj_weight", "out.weight"})
ANIMA_PERCEIVER_FORMATS = (Format("PE-Core perceiver", PERCEIVER_KEYS, _perceiver),)
