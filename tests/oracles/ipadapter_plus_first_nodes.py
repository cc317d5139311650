"""The ids that ComfyUI_IPAdapter_plus had until March 2024 and has no more, as 6a411dc (2024-02-13) had them.

Each id: its method, its inputs in order with type or options and default, its outputs.
"""

KIND = ("weight_type", ["original", "linear", "channel penalty"], None)
WINDOW = (("start_at", "FLOAT", 0.0), ("end_at", "FLOAT", 1.0))
WEIGHT, NOISE = ("weight", "FLOAT", 1.0), ("noise", "FLOAT", 0.0)
ADAPTER, VISION, IMAGE, MODEL = (
    ("ipadapter", "IPADAPTER", None), ("clip_vision", "CLIP_VISION", None), ("image", "IMAGE", None), ("model", "MODEL", None),
)  # fmt: skip
UNFOLD, MASK = ("unfold_batch", "BOOLEAN", False), ("attn_mask", "MASK", None)
FIRST_NODES = {
    "IPAdapterApply": (
        "apply_ipadapter", (ADAPTER, VISION, IMAGE, MODEL, WEIGHT, NOISE, KIND, *WINDOW, UNFOLD, MASK), ("MODEL",),
    ),
    "IPAdapterApplyFaceID": (
        "apply_ipadapter",
        (ADAPTER, VISION, ("insightface", "INSIGHTFACE", None), IMAGE, MODEL, WEIGHT, NOISE, KIND, *WINDOW,
         ("faceid_v2", "BOOLEAN", False), ("weight_v2", "FLOAT", 1.0), UNFOLD, MASK),
        ("MODEL",),
    ),
    "IPAdapterTilesMasked": (
        "apply_ipadapter",
        (ADAPTER, VISION, IMAGE, MODEL, ("weight", "FLOAT", 0.7), NOISE, KIND, *WINDOW, ("short_side_tiles", "INT", 1),
         ("tile_weight", "FLOAT", 0.6)),
        ("MODEL",),
    ),
    "IPAdapterApplyEncoded": (
        "apply_ipadapter", (ADAPTER, ("embeds", "EMBEDS", None), MODEL, WEIGHT, KIND, *WINDOW, UNFOLD, MASK), ("MODEL",),
    ),
    "IPAdapterBatchEmbeds": ("batch", (("embed1", "EMBEDS", None), ("embed2", "EMBEDS", None)), ("EMBEDS",)),
    "InsightFaceLoader": ("load_insight_face", (("provider", ["CPU", "CUDA", "ROCM"], None),), ("INSIGHTFACE",)),
    "PrepImageForInsightFace": (
        "prep_image",
        (IMAGE, ("crop_position", ["center", "top", "bottom", "left", "right"], None), ("sharpening", "FLOAT", 0.0),
         ("pad_around", "BOOLEAN", True)),
        ("IMAGE",),
    ),
}  # fmt: skip
