"""The 37 nodes of ComfyUI_IPAdapter_plus (9d076a3) as data: id, names, category, inputs in order, outputs in order.

A number is (name, kind, default, least, most, step), a choice (name, options, default), a text (name, "STRING", default,
multiline), a switch (name, "BOOLEAN", default), a socket (name, kind). Behind `OPTIONAL` inputs may be left out.
"""

OPTIONAL = "optional from here"

WEIGHT_TYPES = [
    "linear", "ease in", "ease out", "ease in-out", "reverse in-out", "weak input", "weak output", "weak middle",
    "strong middle", "style transfer", "composition", "strong style transfer", "style and composition",
    "style transfer precise", "composition precise",
]  # fmt: skip
COMBINE = ["concat", "add", "subtract", "average", "norm average"]
SCALING = ["V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"]
PICTURE_PRESETS = [
    "LIGHT - SD1.5 only (low strength)", "STANDARD (medium strength)", "VIT-G (medium strength)", "PLUS (high strength)",
    "PLUS FACE (portraits)", "FULL FACE - SD1.5 only (portraits stronger)",
]  # fmt: skip
FACE_PRESETS = [
    "FACEID", "FACEID PLUS - SD1.5 only", "FACEID PLUS V2", "FACEID PORTRAIT (style transfer)",
    "FACEID PORTRAIT UNNORM - SDXL only (strong)",
]  # fmt: skip
METHODS = ["full batch", "shift batches", "alternate batches"]
TIMINGS = ["custom", "linear", "ease_in_out", "ease_in", "ease_out", "random"]

IMAGE = ("image", "IMAGE")
W3, W5 = (("weight", "FLOAT", 1.0, -1, most, 0.05) for most in (3, 5))
FACEID_V2 = ("weight_faceidv2", "FLOAT", 1.0, -1, 5, 0.05)
WT = ("weight_type", WEIGHT_TYPES, None)
CE = ("combine_embeds", COMBINE, None)
ES = ("embeds_scaling", SCALING, None)
WINDOW = [("start_at", "FLOAT", 0.0, 0.0, 1.0, 0.001), ("end_at", "FLOAT", 1.0, 0.0, 1.0, 0.001)]
SHARPENING = ("sharpening", "FLOAT", 0.0, 0.0, 1.0, 0.05)
ENCODE_BATCH = ("encode_batch_size", "INT", 0, 0, 4096, None)
TILES = ("enhance_tiles", "INT", 2, 1, 16, None)
MASK, CLIP_VISION, FACES = ("attn_mask", "MASK"), ("clip_vision", "CLIP_VISION"), ("insightface", "INSIGHTFACE")
NEGATIVE = ("image_negative", "IMAGE")
USUAL = [OPTIONAL, NEGATIVE, MASK, CLIP_VISION]
MODEL, ADAPTER = ("model", "MODEL"), ("ipadapter", "IPADAPTER")
PRECISE_STYLE = [IMAGE, W5, ("style_boost", "FLOAT", 1.0, -5, 5, 0.05), CE, *WINDOW, ES, *USUAL]
PRECISE_COMPOSITION = [IMAGE, W5, ("composition_boost", "FLOAT", 0.0, -5, 5, 0.05), CE, *WINDOW, ES, *USUAL]
FACEID = [IMAGE, W3, FACEID_V2, WT, CE, *WINDOW, ES, *USUAL, FACES]
EMBEDS = [
    ("pos_embed", "EMBEDS"), W3, WT, *WINDOW, ES, OPTIONAL, ("neg_embed", "EMBEDS"), MASK, CLIP_VISION
]  # fmt: skip
TWO_PICTURES = [
    ("image_style", "IMAGE"), ("image_composition", "IMAGE"), ("weight_style", "FLOAT", 1.0, -1, 5, 0.05),
    ("weight_composition", "FLOAT", 1.0, -1, 5, 0.05), ("expand_style", "BOOLEAN", False),
]  # fmt: skip
OUT = [("MODEL", "MODEL")]
FACE_OUT = [*OUT, ("face_image", "IMAGE")]
TILED_OUT = [*OUT, ("tiles", "IMAGE"), ("masks", "MASK")]
WEIGHTS_OUT = [
    ("weights", "FLOAT"), ("weights_invert", "FLOAT"), ("total_frames", "INT"), ("image_1", "IMAGE"), ("image_2", "IMAGE"),
    ("weights_strategy", "WEIGHTS_STRATEGY"),
]  # fmt: skip
STRATEGY = ("weights_strategy", "WEIGHTS_STRATEGY")
MAIN, FACEID_PLACE, TILED, PLACE_OF_EMBEDS = "ipadapter", "ipadapter/faceid", "ipadapter/tiled", "ipadapter/embeds"
STYLE, DEV, PARAMS = "ipadapter/style_composition", "ipadapter/dev", "ipadapter/params"
LOADERS, UTILS, WEIGHTS = "ipadapter/loaders", "ipadapter/utils", "ipadapter/weights"


def enhanced(ratio: float, *further):
    """The inputs of an enhancer."""
    return [TILES, ("enhance_ratio", "FLOAT", ratio, 0.0, 1.0, 0.05), *further, *USUAL]


# Each takes MODEL and ADAPTER first, and has `results` of ours behind all others.
APPLY_NODES = {
    "IPAdapter": ("IPAdapter", MAIN, [
        IMAGE, W3, *WINDOW, ("weight_type", ["standard", "prompt is more important", "style transfer"], None), OPTIONAL, MASK,
    ], OUT),
    "IPAdapterAdvanced": ("IPAdapter Advanced", MAIN, [IMAGE, W5, WT, CE, *WINDOW, ES, *USUAL], OUT),
    "IPAdapterBatch": ("IPAdapter Batch (Adv.)", MAIN, [IMAGE, W5, WT, *WINDOW, ES, ENCODE_BATCH, *USUAL], OUT),
    "IPAdapterFaceID": ("IPAdapter FaceID", FACEID_PLACE, FACEID, FACE_OUT),
    "IPAdapterFaceIDKolors": ("IPAdapter FaceID Kolors", FACEID_PLACE, [
        *FACEID[:3], ("weight_kolors", "FLOAT", 1.0, -1, 5, 0.05), *FACEID[3:]], FACE_OUT),
    "IPAAdapterFaceIDBatch": ("IPAdapter FaceID Batch", FACEID_PLACE, FACEID, FACE_OUT),
    "IPAdapterTiled": ("IPAdapter Tiled", TILED, [IMAGE, W3, WT, CE, *WINDOW, SHARPENING, ES, *USUAL], TILED_OUT),
    "IPAdapterTiledBatch": ("IPAdapter Tiled Batch", TILED, [
        IMAGE, W3, WT, *WINDOW, SHARPENING, ES, ENCODE_BATCH, *USUAL], TILED_OUT),
    "IPAdapterEmbeds": ("IPAdapter Embeds", PLACE_OF_EMBEDS, EMBEDS, OUT),
    "IPAdapterEmbedsBatch": ("IPAdapter Embeds Batch", PLACE_OF_EMBEDS, EMBEDS, OUT),
    "IPAdapterStyleComposition": ("IPAdapter Style & Composition SDXL", STYLE, [
        *TWO_PICTURES, ("combine_embeds", COMBINE, "average"), *WINDOW, ES, *USUAL], OUT),
    "IPAdapterStyleCompositionBatch": ("IPAdapter Style & Composition Batch SDXL", STYLE, [
        *TWO_PICTURES, *WINDOW, ES, *USUAL], OUT),
    "IPAdapterMS": ("IPAdapter Mad Scientist", DEV, [
        IMAGE, W5, FACEID_V2, WT, CE, *WINDOW, ES, ("layer_weights", "STRING", "", True), *USUAL, FACES], OUT),
    "IPAdapterClipVisionEnhancer": ("IPAdapter ClipVision Enhancer", DEV, [
        IMAGE, W5, WT, CE, *WINDOW, ES, *enhanced(1.0)], OUT),
    "IPAdapterClipVisionEnhancerBatch": ("IPAdapter ClipVision Enhancer Batch", DEV, [
        IMAGE, W5, WT, *WINDOW, ES, *enhanced(0.5, ENCODE_BATCH)], OUT),
    "IPAdapterFromParams": ("IPAdapter from Params", PARAMS, [
        ("ipadapter_params", "IPADAPTER_PARAMS"), CE, ES, OPTIONAL, NEGATIVE, CLIP_VISION], OUT),
    "IPAdapterPreciseStyleTransfer": ("IPAdapter Precise Style Transfer", MAIN, PRECISE_STYLE, OUT),
    "IPAdapterPreciseStyleTransferBatch": ("IPAdapter Precise Style Transfer Batch", MAIN, PRECISE_STYLE, OUT),
    "IPAdapterPreciseComposition": ("IPAdapter Precise Composition", MAIN, PRECISE_COMPOSITION, OUT),
    "IPAdapterPreciseCompositionBatch": ("IPAdapter Precise Composition Batch", MAIN, PRECISE_COMPOSITION, OUT),
}  # fmt: skip
FILES = "files of a folder"
OTHER_NODES = {
    "IPAdapterUnifiedLoader": ("IPAdapter Unified Loader", MAIN, [
        MODEL, ("preset", PICTURE_PRESETS, None), OPTIONAL, ADAPTER], [("model", "MODEL"), ADAPTER]),
    "IPAdapterUnifiedLoaderFaceID": ("IPAdapter Unified Loader FaceID", FACEID_PLACE, [
        MODEL, ("preset", FACE_PRESETS, None), ("lora_strength", "FLOAT", 0.6, 0, 1, 0.01),
        ("provider", ["CPU", "CUDA", "ROCM", "DirectML", "OpenVINO", "CoreML"], None), OPTIONAL, ADAPTER,
    ], [("MODEL", "MODEL"), ADAPTER]),
    "IPAdapterModelLoader": ("IPAdapter Model Loader", LOADERS, [
        ("ipadapter_file", FILES, None)], [("IPADAPTER", "IPADAPTER")]),
    "IPAdapterInsightFaceLoader": ("IPAdapter InsightFace Loader", LOADERS, [
        ("provider", ["CPU", "CUDA", "ROCM"], None), ("model_name", ["buffalo_l", "antelopev2"], None),
    ], [("INSIGHTFACE", "INSIGHTFACE")]),
    "IPAdapterUnifiedLoaderCommunity": ("IPAdapter Unified Loader Community", LOADERS, [
        MODEL, ("preset", ["Composition", "Kolors"], None), OPTIONAL, ADAPTER], [("model", "MODEL"), ADAPTER]),
    "IPAdapterEncoder": ("IPAdapter Encoder", PLACE_OF_EMBEDS, [
        ADAPTER, IMAGE, ("weight", "FLOAT", 1.0, -1, 3, 0.01), OPTIONAL, ("mask", "MASK"), CLIP_VISION,
    ], [("pos_embed", "EMBEDS"), ("neg_embed", "EMBEDS")]),
    "IPAdapterCombineEmbeds": ("IPAdapter Combine Embeds", PLACE_OF_EMBEDS, [
        ("embed1", "EMBEDS"), ("method", [*COMBINE, "max", "min"], None), OPTIONAL,
        *((f"embed{number}", "EMBEDS") for number in range(2, 6)),
    ], [("EMBEDS", "EMBEDS")]),
    "IPAdapterNoise": ("IPAdapter Noise", UTILS, [
        ("type", ["fade", "dissolve", "gaussian", "shuffle"], None), ("strength", "FLOAT", 1.0, 0, 1, 0.05),
        ("blur", "INT", 0, 0, 32, None), OPTIONAL, ("image_optional", "IMAGE"),
    ], [("IMAGE", "IMAGE")]),
    "PrepImageForClipVision": ("Prep Image For ClipVision", UTILS, [
        IMAGE, ("interpolation", ["LANCZOS", "BICUBIC", "HAMMING", "BILINEAR", "BOX", "NEAREST"], None),
        ("crop_position", ["top", "bottom", "left", "right", "center", "pad"], None), SHARPENING,
    ], [("IMAGE", "IMAGE")]),
    "IPAdapterSaveEmbeds": ("IPAdapter Save Embeds", PLACE_OF_EMBEDS, [
        ("embeds", "EMBEDS"), ("filename_prefix", "STRING", "IP_embeds", False)], []),
    "IPAdapterLoadEmbeds": ("IPAdapter Load Embeds", PLACE_OF_EMBEDS, [("embeds", FILES, None)], [("EMBEDS", "EMBEDS")]),
    "IPAdapterWeights": ("IPAdapter Weights", WEIGHTS, [
        ("weights", "STRING", "1.0, 0.0", True), ("timing", TIMINGS, "linear"), ("frames", "INT", 0, 0, 9999, None),
        ("start_frame", "INT", 0, 0, 9999, None), ("end_frame", "INT", 9999, 0, 9999, None),
        ("add_starting_frames", "INT", 0, 0, 9999, None), ("add_ending_frames", "INT", 0, 0, 9999, None),
        ("method", METHODS, "full batch"), OPTIONAL, IMAGE,
    ], WEIGHTS_OUT),
    "IPAdapterCombineWeights": ("IPAdapter Combine Weights", UTILS, [
        ("weights_1", "FLOAT", 0.0, 0.0, 1.0, 0.05), ("weights_2", "FLOAT", 0.0, 0.0, 1.0, 0.05),
    ], [("weights", "FLOAT"), ("count", "INT")]),
    "IPAdapterWeightsFromStrategy": ("IPAdapter Weights From Strategy", WEIGHTS, [STRATEGY, OPTIONAL, IMAGE], WEIGHTS_OUT),
    "IPAdapterPromptScheduleFromWeightsStrategy": ("Prompt Schedule From Weights Strategy", WEIGHTS, [
        STRATEGY, ("prompt", "STRING", "", True)], [("prompt_schedule", "STRING")]),
    "IPAdapterRegionalConditioning": ("IPAdapter Regional Conditioning", PARAMS, [
        IMAGE, ("image_weight", "FLOAT", 1.0, -1, 3, 0.05), ("prompt_weight", "FLOAT", 1.0, 0.0, 10.0, 0.05), WT, *WINDOW,
        OPTIONAL, ("mask", "MASK"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"),
    ], [("IPADAPTER_PARAMS", "IPADAPTER_PARAMS"), ("POSITIVE", "CONDITIONING"), ("NEGATIVE", "CONDITIONING")]),
    "IPAdapterCombineParams": ("IPAdapter Combine Params", PARAMS, [
        ("params_1", "IPADAPTER_PARAMS"), ("params_2", "IPADAPTER_PARAMS"), OPTIONAL,
        *((f"params_{number}", "IPADAPTER_PARAMS") for number in range(3, 6)),
    ], [("IPADAPTER_PARAMS", "IPADAPTER_PARAMS")]),
}  # fmt: skip
RESULTS = ("results", ["corrected", "as IPAdapter_plus"], "corrected")
NODES = OTHER_NODES | {
    name: (title, place, [MODEL, ADAPTER, *inputs], outputs)
    for name, (title, place, inputs, outputs) in APPLY_NODES.items()
}
