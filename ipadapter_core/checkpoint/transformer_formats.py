"""Rows for adapters of transformers: FLUX.1, SD3.5 and Anima.

Layouts: XLabs-AI/x-flux; InstantX/FLUX.1-dev-IP-Adapter; InstantX/SD3.5-Large-IP-Adapter; LuciferTC/Anima-IP-Adapter;
sorryhyun/anima_lora (3f7ca1f3~1), networks/methods/ip_adapter.py; diffusers (58eb52c), loaders/transformer_sd3.py.
"""

import re
from dataclasses import replace

from .enums import BaseModel, Feature, FormatName, LayerKind, Negative, ProjectorKind
from .formats import (
    BIASED,
    KEY_VALUE,
    LINEAR,
    NUMBER,
    RESAMPLER,
    Format,
    Layout,
    depth,
    dimensions,
    measure_linear,
    measure_resampler,
)
from .spec import ProjectorSpec, Shapes

PERCEIVER_HEADS = 8  # of sorryhyun's trainer, which writes them into the metadata
SD3_BY_DIFFUSERS = (  # a layer's parts in `ip-adapter_diffusers.safetensors`, and in the first file
    ("ln0", "0.norm1"), ("ln1", "0.norm2"), (r"attn\.to_q", "0.to_q"), (r"attn\.to_kv", "0.to_kv"),
    (r"attn\.to_out\.0", "0.to_out"), ("adaln_norm", "1.0"), (r"ff\.net\.0\.proj", "1.1"), (r"ff\.net\.2", "1.3"),
    ("adaln_proj", "2.1"),
)  # fmt: skip
ANIMA_LORA = re.compile(
    rf"blocks\.{NUMBER}\.((self|cross)_attn\.(q|k|v|output)_proj|mlp\.layer[12])\.lora_[AB]\.weight"
)


def _black(shapes: Shapes, context_width: int) -> ProjectorSpec:
    return replace(measure_linear(shapes, context_width), negative=Negative.BLACK_PICTURE)


def _mlp_tokens(shapes: Shapes, context_width: int) -> ProjectorSpec:
    width, feature_width = shapes["proj.0.weight"]
    tokens = shapes["proj.2.weight"][0] // context_width
    kind, feature = ProjectorKind.MLP_TOKENS, Feature.ATTENTION_POOLED
    return ProjectorSpec(kind, feature, feature_width, context_width, tokens=tokens, width=width)


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
        depth=depth(shapes, "blocks."),
        negative=Negative.REFERENCE,
    )


XLABS_FLUX = Layout(
    "FLUX.1 by XLabs",
    0,
    1,
    BIASED,
    LayerKind.BIASED,
    (Format(FormatName.XLABS, LINEAR, _black),),
    BaseModel.FLUX,
    renames=(
        (r"ip_adapter_proj_model\.", "image_proj."),
        (
            r"double_blocks\.([0-9]+)\.processor\.ip_adapter_double_stream_([kv])_proj\.",
            r"ip_adapter.\1.to_\2_ip.",
        ),
    ),
    publishes=(
        (r"image_proj\.", "ip_adapter_proj_model."),
        (
            r"ip_adapter\.([0-9]+)\.to_([kv])_ip\.",
            r"double_blocks.\1.processor.ip_adapter_double_stream_\2_proj.",
        ),
    ),
)
INSTANTX_FLUX = Layout(
    "FLUX.1 by InstantX",
    0,
    1,
    KEY_VALUE,
    LayerKind.NORMED_KEY,
    (Format(FormatName.INSTANTX, dimensions("norm.weight", "proj.0.weight proj.2.weight"), _mlp_tokens),),
    BaseModel.FLUX,
)
INSTANTX_SD3 = Layout(
    "SD3.5 by InstantX",
    0,
    1,
    KEY_VALUE | {"norm_ip.linear.weight", "norm_ip.linear.bias", "norm_q.weight", "norm_k.weight", "norm_ip_k.weight"},
    LayerKind.JOINT,
    (
        Format(
            FormatName.INSTANTX,
            RESAMPLER | dimensions(matrices="time_embedding.linear_1.weight layers.0.2.1.weight"),
            _time_resampler,
        ),
    ),
    BaseModel.SD35_LARGE,
    renames=tuple(
        (rf"image_proj\.layers\.([0-9]+)\.{theirs}\.", rf"image_proj.layers.\1.{ours}.")
        for theirs, ours in SD3_BY_DIFFUSERS
    ),
)
LUCIFERTC = Layout(
    "Anima by LuciferTC",
    0,
    1,
    BIASED | {"gate.weight", "gate.bias"},
    LayerKind.GATED,
    (Format(FormatName.LUCIFERTC, {}, _features_themselves),),
    BaseModel.ANIMA,
    renames=(
        (r"blocks\.([0-9]+)\.ip_([kv])_proj\.", r"ip_adapter.\1.to_\2_ip."),
        (r"blocks\.([0-9]+)\.adaln_ip\.1\.", r"ip_adapter.\1.gate."),
        (r"lora\.base_model\.model\.", "lora."),
    ),
    publishes=(
        (r"ip_adapter\.([0-9]+)\.to_([kv])_ip\.", r"blocks.\1.ip_\2_proj."),
        (r"ip_adapter\.([0-9]+)\.gate\.", r"blocks.\1.adaln_ip.1."),
        (r"lora\.", "lora.base_model.model."),
    ),
    lora=ANIMA_LORA,
    options={"ip_norm_keys": ("false",), "ip_inject_before_mlp": ("false",)},
)
PE_CORE = Layout(
    "Anima with PE-Core",
    0,
    1,
    KEY_VALUE | {"ip_gate"},
    LayerKind.SCALED,
    (
        Format(
            FormatName.PE_CORE,
            dimensions("ip_centroid", "kv_proj.weight blocks.0.xattn.in_proj_weight out.weight", "queries"),
            _perceiver,
        ),
    ),
    BaseModel.ANIMA,
    renames=(
        (r"resampler\.", "image_proj."),
        (r"ip_centroid$", "image_proj.ip_centroid"),
        (r"to_([kv])_ip\.([0-9]+)\.", r"ip_adapter.\2.to_\1_ip."),
        (r"ip_gate\.([0-9]+)$", r"ip_adapter.\1.ip_gate"),
    ),
    publishes=(
        (r"image_proj\.ip_centroid$", "ip_centroid"),
        (r"image_proj\.", "resampler."),
        (r"ip_adapter\.([0-9]+)\.to_([kv])_ip\.", r"to_\2_ip.\1."),
        (r"ip_adapter\.([0-9]+)\.ip_gate$", r"ip_gate.\1"),
    ),
    options={
        "ss_resampler_heads": (str(PERCEIVER_HEADS),),
        "ss_ip_scale": ("1", "1.0"),
        "ss_pe_lora_enabled": ("false",),
    },
)
