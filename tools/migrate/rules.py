"""Which nodes of ours do what an old node does. Each rule says in words what became of its node."""

from collections.abc import Callable

from .changes import CannotMigrateError, Changes
from .graph_file import Found, Source
from .loaders_and_prompts import bundle_of, encoded, params_of, prompt_of_embeds

STANDARD = {"standard": "linear", "prompt is more important": "ease out", "style transfer": "style transfer"}
AS_PLUS = "as IPAdapter_plus"
PER_FRAME = "one per frame"


def check(node: Found, changes: Changes) -> None:
    """Raises `CannotMigrateError` for what has no native counterpart at all."""
    if changes.literal(node, "results", "corrected") == AS_PLUS:
        raise CannotMigrateError(f"its results are '{AS_PLUS}', which only the old nodes give")
    if changes.value(node, "weight_kolors", 1.0) != 1.0:
        raise CannotMigrateError("weight_kolors is not 1, and the native nodes have no such weight")


def apply_picture(name: str, node: Found, changes: Changes) -> str:
    """Images, faces among them: an encode node and *Apply IP-Adapter*."""
    batch = node.kind.endswith("Batch")
    bundle = bundle_of(node, changes)
    prompt, faces = encoded(name, node, changes, "image", batch)
    applied = _applied(name, node, changes, bundle.adapter, prompt)
    if faces is not None:
        changes.taken_over[Source(name, 1)] = faces
    changes.taken_over[Source(name, 0)] = applied
    return "an encode node and Apply IP-Adapter"


def apply_tiled(name: str, node: Found, changes: Changes) -> str:
    """*Encode Tiled Reference*."""
    if node.kind.endswith("Batch"):
        raise CannotMigrateError("tiles for each image of a batch have no native node")
    bundle = bundle_of(node, changes)
    encode = changes.add(
        name, "IPAdapterCoreEncodeTiled", ip_adapter=bundle.adapter, image=changes.value(node, "image"), tiles=0,
        clip_vision=changes.value(node, "clip_vision") or bundle.encoder,
        negative_image=changes.value(node, "image_negative"), sharpening=changes.value(node, "sharpening", 0.0),
    )  # fmt: skip
    changes.taken_over[Source(name, 0)] = _applied(name, node, changes, bundle.adapter, Source(encode, 0))
    changes.taken_over[Source(name, 1)], changes.taken_over[Source(name, 2)] = Source(encode, 1), Source(encode, 2)
    return "Encode Tiled Reference and Apply IP-Adapter; tiles now cover the whole image"


def apply_embeds(name: str, node: Found, changes: Changes) -> str:
    """Embeds are image prompts, which bring their negative along."""
    bundle = bundle_of(node, changes)
    prompt = prompt_of_embeds(node, changes, "pos_embed")
    if node.inputs.get("neg_embed") is not None:
        prompt_of_embeds(node, changes, "neg_embed")
    changes.taken_over[Source(name, 0)] = _applied(name, node, changes, bundle.adapter, prompt)
    return "Apply IP-Adapter; the negative is part of the image prompt"


def apply_style_composition(name: str, node: Found, changes: Changes) -> str:
    """*Apply Style and Composition*."""
    if node.kind.endswith("Batch"):
        raise CannotMigrateError("style and composition for each image of a batch have no native node")
    if changes.value(node, "embeds_scaling", "V only") != "V only":
        raise CannotMigrateError("Apply Style and Composition scales 'V only'")
    bundle = bundle_of(node, changes)
    style, composition = (encoded(name, node, changes, one, False)[0] for one in ("image_style", "image_composition"))
    applied = changes.add(
        name, "IPAdapterCoreApplyStyleComposition", model=changes.value(node, "model"), ip_adapter=bundle.adapter,
        style=style, composition=composition, style_weight=changes.value(node, "weight_style", 1.0),
        composition_weight=changes.value(node, "weight_composition", 1.0),
        expand_style=changes.value(node, "expand_style", False), start_percent=changes.value(node, "start_at", 0.0),
        end_percent=changes.value(node, "end_at", 1.0), mask=changes.value(node, "attn_mask"),
    )  # fmt: skip
    changes.taken_over[Source(name, 0)] = Source(applied, 0)
    return "two encode nodes and Apply Style and Composition"


def apply_params(name: str, node: Found, changes: Changes) -> str:
    """An application for each region, one behind the other."""
    bundle = bundle_of(node, changes)
    model = changes.value(node, "model")
    regions = params_of(node, changes, "ipadapter_params")
    for region_name, region in regions:
        shared = {key: node.inputs.get(key) for key in SHARED}
        own = {new: region.inputs.get(old) for new, old in REGION.items()}
        one = Found(node.kind, {key: value for key, value in (shared | own).items() if value is not None})
        prompt, _ = encoded(region_name, one, changes, "image", False)
        model = _applied(region_name, one, changes, bundle.adapter, prompt, model)
    changes.taken_over[Source(name, 0)] = model
    return f"{len(regions)} encode nodes and {len(regions)} Apply IP-Adapter with masks"


SHARED = ("ipadapter", "combine_embeds", "embeds_scaling", "image_negative", "clip_vision")
REGION = {"image": "image", "attn_mask": "mask", "weight": "image_weight", "weight_type": "weight_type", "start_at": "start_at",
          "end_at": "end_at"}  # fmt: skip


def region(name: str, node: Found, changes: Changes) -> str:
    """The prompts of a region, confined by ComfyUI's own node; its reference goes with *IPAdapter from Params*."""
    mask, strength = changes.value(node, "mask"), changes.value(node, "prompt_weight", 1.0)
    for slot, key in ((1, "positive"), (2, "negative")):
        words = changes.value(node, key)
        if not isinstance(words, Source):
            continue
        if mask is not None:
            confined = changes.add(
                name, "ConditioningSetMask", conditioning=words, mask=mask, strength=strength, set_cond_area="default"
            )  # fmt: skip
            words = Source(confined, 0)
        changes.taken_over[Source(name, slot)] = words
    return "Set Mask on conditioning, and a reference of its own"


def save_embeds(name: str, node: Found, changes: Changes) -> str:
    """*Save Image Prompt*."""
    prompt = prompt_of_embeds(node, changes, "embeds")
    changes.add(name, "IPAdapterCoreSave", image_prompt=prompt, filename_prefix=changes.value(node, "filename_prefix"))
    return "Save Image Prompt, which writes safetensors"


def noise(name: str, node: Found, changes: Changes) -> str:
    """*Negative Image Noise*."""
    made = changes.add(
        name, "IPAdapterCoreNoise", type=changes.value(node, "type"), strength=changes.value(node, "strength", 1.0),
        blur=changes.value(node, "blur", 0), seed=0, image=changes.value(node, "image_optional"),
    )  # fmt: skip
    changes.taken_over[Source(name, 0)] = Source(made, 0)
    return "Negative Image Noise, with a seed of its own: other noise than before"


def frame_weights(name: str, node: Found, changes: Changes) -> str:
    """Weights without images, for the nodes that were migrated; with images the way over is by hand."""
    raise CannotMigrateError("images over frames are laid out otherwise: see References over Frames in its help page")


def _applied(
    name: str, node: Found, changes: Changes, adapter: Source, prompt: Source, model: Source | None = None
) -> Source:  # fmt: skip
    weight = changes.value(node, "weight", 1.0)
    frames = _frame_weights(node, changes)
    layers = _layer_weights(name, node, changes)
    batch = node.kind.endswith("Batch")
    applied = changes.add(
        name, "IPAdapterCoreApply", model=model or changes.value(node, "model"), ip_adapter=adapter, image_prompt=prompt,
        weight=1.0 if frames else weight, start_percent=changes.value(node, "start_at", 0.0),
        end_percent=changes.value(node, "end_at", 1.0), mask=changes.value(node, "attn_mask"), layer_weights=layers,
        embeds_scaling=changes.value(node, "embeds_scaling", "V only"), references=PER_FRAME if batch else "together",
        frame_weights=frames,
    )  # fmt: skip
    return Source(applied, 0)


def _frame_weights(node: Found, changes: Changes) -> Source | None:
    """The row of weights, where the weight comes from *IPAdapter Weights* without images."""
    found = changes.behind(node, "weight")
    if found is None or not found[1].kind.startswith(("IPAdapterWeights", "IPAdapterCombineWeights")):
        return None
    name, weights, slot = found
    if weights.kind != "IPAdapterWeights" or slot != 0 or "image" in weights.inputs:
        raise CannotMigrateError("its weights over frames are laid out with images: see References over Frames")
    made = changes.once(
        name, "IPAdapterCoreFrameWeights",
        **{key: changes.value(weights, key) for key in ("weights", "timing", "frames", "start_frame", "end_frame")},
    )  # fmt: skip
    changes.taken_over[Source(name, 2)] = Source(made, 1)
    changes.done.setdefault(name, "Frame Weights")
    return Source(made, 0)


def _layer_weights(name: str, node: Found, changes: Changes) -> Source | None:
    kind: str = changes.literal(node, "weight_type", "linear")
    kind = STANDARD.get(kind, kind) if node.kind == "IPAdapter" else kind
    kind = "style transfer precise" if "style_boost" in node.inputs else kind
    kind = "composition precise" if "composition_boost" in node.inputs else kind
    text = changes.literal(node, "layer_weights", "") or ""
    if text.strip() and "precise" not in kind:
        kind = "linear"
    if kind == "linear" and not text.strip():
        return None
    second = _second(node, changes, kind)
    made = changes.add(name, "IPAdapterCoreLayerWeights", preset=kind, blocks=text, second_weight=second)
    return Source(made, 0)


def _second(node: Found, changes: Changes, kind: str) -> float:
    """The second weight, which multiplies the weight here and stood by itself there."""
    boosts = [changes.literal(node, key) for key in ("style_boost", "composition_boost") if key in node.inputs]
    second: float | None = boosts[0] if boosts else (1.0 if kind == "style and composition" else None)
    if second is None:
        return 1.0
    weight = changes.value(node, "weight", 1.0)
    if isinstance(weight, Source) or (weight == 0 and second != 0) or abs(second / (weight or 1)) > 5:
        raise CannotMigrateError(
            f"its second weight is {second} whatever the weight is, which Layer Weights cannot say"
        )
    return round(second / (weight or 1), 6)


APPLY = ("IPAdapter", "IPAdapterAdvanced", "IPAdapterBatch", "IPAdapterFaceID", "IPAdapterFaceIDKolors",
         "IPAAdapterFaceIDBatch", "IPAdapterMS", "IPAdapterClipVisionEnhancer", "IPAdapterClipVisionEnhancerBatch",
         "IPAdapterPreciseStyleTransfer", "IPAdapterPreciseStyleTransferBatch", "IPAdapterPreciseComposition",
         "IPAdapterPreciseCompositionBatch")  # fmt: skip
RULES: dict[str, Callable[[str, Found, Changes], str]] = {
    **dict.fromkeys(APPLY, apply_picture),
    "IPAdapterTiled": apply_tiled,
    "IPAdapterTiledBatch": apply_tiled,
    "IPAdapterEmbeds": apply_embeds,
    "IPAdapterEmbedsBatch": apply_embeds,
    "IPAdapterStyleComposition": apply_style_composition,
    "IPAdapterStyleCompositionBatch": apply_style_composition,
    "IPAdapterFromParams": apply_params,
    "IPAdapterRegionalConditioning": region,
    "IPAdapterSaveEmbeds": save_embeds,
    "IPAdapterNoise": noise,
}
