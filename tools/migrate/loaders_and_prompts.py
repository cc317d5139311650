"""What the sockets of old nodes stand for: adapters with their encoders, and image prompts in place of embeds."""

from typing import Any, NamedTuple

from .changes import CannotMigrateError, Changes
from .graph_file import Found, Source
from .today import today

PRESETS = {
    "LIGHT - SD1.5 only (low strength)": "LIGHT (low strength)",
    "FULL FACE - SD1.5 only (portraits stronger)": "FULL FACE (portraits, SD1.5)",
    "FACEID PLUS - SD1.5 only": "FACEID PLUS (SD1.5)",
    "FACEID PORTRAIT (style transfer)": "FACEID PORTRAIT",
    "FACEID PORTRAIT UNNORM - SDXL only (strong)": "FACEID PORTRAIT UNNORM (SDXL)",
    "Composition": "COMPOSITION",
    "Kolors": "KOLORS PLUS",
}  # the others have the same name
PROVIDERS = {"ROCM": "ROCm"}
FACE_LOADERS = ("IPAdapterInsightFaceLoader", "InsightFaceLoader")
FACE_NODES = ("IPAdapterFaceID", "IPAdapterFaceIDKolors", "IPAAdapterFaceIDBatch")


class Bundle(NamedTuple):
    """What an IPADAPTER output stands for."""

    adapter: Source
    encoder: Source | None = None
    analysis: Source | None = None
    faces: bool = False


def bundle_of(node: Found, changes: Changes) -> Bundle:
    """The native loader behind a node's `ipadapter`."""
    found = changes.behind(node, "ipadapter")
    if found is None:
        raise CannotMigrateError("no ipadapter is connected")
    name, loader, _ = found
    if loader.kind not in LOADERS:
        raise CannotMigrateError(f"its ipadapter comes from {loader.kind}, which is not known here")
    return loaded(name, loader, changes)


def loaded(name: str, loader: Found, changes: Changes) -> Bundle:
    """The native node for a loader, made once."""
    if ("loader", name) not in changes.remembered:
        changes.remembered["loader", name] = LOADERS[loader.kind](name, today(loader, changes.infos), changes)
    return changes.remembered["loader", name]


def _by_preset(name: str, loader: Found, changes: Changes) -> Bundle:
    preset = changes.literal(loader, "preset")
    provider = changes.literal(loader, "provider", "CPU")
    made = changes.add(
        name, "IPAdapterCoreLoadPreset", model=changes.value(loader, "model"), preset=PRESETS.get(preset, preset),
        lora_strength=changes.value(loader, "lora_strength", 1.0), provider=PROVIDERS.get(provider, provider),
    )  # fmt: skip
    changes.taken_over[Source(name, 0)] = Source(made, 0)
    changes.done[name] = f"Load IP-Adapter Preset ({PRESETS.get(preset, preset)})"
    return Bundle(Source(made, 1), Source(made, 2), Source(made, 3), preset.startswith("FACEID"))


def _by_file(name: str, loader: Found, changes: Changes) -> Bundle:
    file = changes.value(loader, "ipadapter_file")
    made = changes.add(name, "IPAdapterCoreLoad", ip_adapter_name=file)
    changes.done[name] = "Load IP-Adapter"
    return Bundle(Source(made, 0))


LOADERS = {
    "IPAdapterUnifiedLoader": _by_preset,
    "IPAdapterUnifiedLoaderFaceID": _by_preset,
    "IPAdapterUnifiedLoaderCommunity": _by_preset,
    "IPAdapterModelLoader": _by_file,
}


def _analysis(node: Found, changes: Changes, bundle: Bundle) -> Source | None:
    found = changes.behind(node, "insightface") if "insightface" in node.inputs else None
    if found is None:
        return bundle.analysis
    name, loader, slot = found
    if loader.kind not in FACE_LOADERS:
        return Source(name, slot)
    provider = changes.literal(loader, "provider", "CPU")
    made = changes.once(
        name, "IPAdapterCoreLoadFaceAnalysis", model_name=changes.literal(loader, "model_name", "buffalo_l"),
        provider=PROVIDERS.get(provider, provider),
    )  # fmt: skip
    changes.done[name] = "Load Face Analysis"
    changes.taken_over[Source(name, 0)] = Source(made, 0)
    return Source(made, 0)


def encoded(name: str, node: Found, changes: Changes, key: str, batch: bool) -> tuple[Source, Source | None]:
    """The image prompt of a node's image, and its faces."""
    bundle = bundle_of(node, changes)
    encoder = changes.value(node, "clip_vision") or bundle.encoder
    if bundle.faces or node.kind in FACE_NODES or "insightface" in node.inputs:
        structure = changes.value(node, "weight_faceidv2")
        made = changes.add(
            name, "IPAdapterCoreEncodeFace", ip_adapter=bundle.adapter, image=changes.value(node, key),
            insightface=_analysis(node, changes, bundle), clip_vision=encoder, pick="surest", index=0, no_face="skip",
            several="average per picture" if batch else "concatenate",
            plus_version=changes.value(node, "plus_version", "auto"),
            structure=_twice_the_weight(node, changes) if structure is None else structure,
        )  # fmt: skip
        return _mixed(name, node, changes, Source(made, 0), batch), Source(made, 2)
    picture, fit, sharpening = _prepared(node, changes, key)
    common = {"ip_adapter": bundle.adapter, "image": picture, "clip_vision": encoder, "fit": fit, "sharpening": sharpening,
              "negative_image": changes.value(node, "image_negative")}  # fmt: skip
    whole = Source(changes.add(name, "IPAdapterCoreEncode", **common), 0)
    if "enhance_tiles" not in node.inputs:
        return _mixed(name, node, changes, whole, batch), None
    ratio = changes.literal(node, "enhance_ratio", 1.0)
    tiles = changes.value(node, "enhance_tiles", 2)
    if batch:
        return Source(
            changes.add(name, "IPAdapterCoreEncodeDetailed", **common, tiles=tiles, detail=1 - ratio), 0
        ), None
    close = Source(changes.add(name, "IPAdapterCoreEncodeDetailed", **common, tiles=tiles, detail=1.0), 0)
    method = changes.literal(node, "combine_embeds", "concat")
    return combined(name, changes, [whole, close], method, f"{ratio:g}, 1" if ratio != 1 else ""), None


def _twice_the_weight(node: Found, changes: Changes) -> float:
    weight = changes.value(node, "weight", 1.0)
    return 1.0 if isinstance(weight, Source) else max(0.0, 2 * weight)


def _prepared(node: Found, changes: Changes, key: str) -> tuple[Any, str, float]:
    """The image, how it is fitted and sharpened: *Prep Image For ClipVision* is part of the encode node."""
    found = changes.behind(node, key)
    if found is None or found[1].kind != "PrepImageForClipVision":
        return changes.value(node, key), "center", 0.0
    name, prepare, _ = found
    fit = changes.literal(today(prepare, changes.infos), "crop_position", "top")
    changes.done[name] = f"fit '{fit}' and sharpening of Encode Reference Image"
    return changes.value(prepare, "image"), fit, changes.value(prepare, "sharpening", 0.0)


def _mixed(name: str, node: Found, changes: Changes, prompt: Source, batch: bool) -> Source:
    method = changes.literal(node, "combine_embeds", "concat")
    return prompt if method == "concat" or batch else combined(name, changes, [prompt], method)


def combined(name: str, changes: Changes, prompts: list[Source], method: str, weights: str = "") -> Source:
    """*Combine Image Prompts*."""
    growing = {f"image_prompts.image_prompt{place}": prompt for place, prompt in enumerate(prompts)}
    made = changes.add(name, "IPAdapterCoreCombine", **growing, method=method, weights=weights)
    return Source(made, 0)


def prompt_of_embeds(node: Found, changes: Changes, key: str) -> Source:
    """The image prompt that stands for embeds."""
    found = changes.behind(node, key)
    if found is None:
        raise CannotMigrateError(f"{key} is not connected")
    name, maker, slot = found
    if maker.kind not in EMBEDS:
        raise CannotMigrateError(f"{key} comes from {maker.kind}, which is not known here")
    if ("embeds", name) not in changes.remembered:
        changes.remembered["embeds", name] = EMBEDS[maker.kind](name, today(maker, changes.infos), changes)
    return changes.remembered["embeds", name]


def _encoder(name: str, node: Found, changes: Changes) -> Source:
    bundle = bundle_of(node, changes)
    picture, fit, sharpening = _prepared(node, changes, "image")
    made = changes.add(
        name, "IPAdapterCoreEncode", ip_adapter=bundle.adapter, image=picture, mask=changes.value(node, "mask"), fit=fit,
        clip_vision=changes.value(node, "clip_vision") or bundle.encoder, sharpening=sharpening,
    )  # fmt: skip
    weight = changes.literal(node, "weight", 1.0)
    changes.done[name] = "Encode Reference Image" + (
        f", its weight {weight:g} by Combine Image Prompts (add), which is the same for one image"
        if weight != 1
        else ""
    )
    return Source(made, 0) if weight == 1 else combined(name, changes, [Source(made, 0)], "add", f"{weight:g}")


def _combine(name: str, node: Found, changes: Changes) -> Source:
    keys = [f"embed{place}" for place in range(1, 6) if node.inputs.get(f"embed{place}") is not None]
    changes.done[name] = "Combine Image Prompts"
    prompts = [prompt_of_embeds(node, changes, key) for key in keys]
    return combined(name, changes, prompts, changes.literal(node, "method", "concat"))


def _load(name: str, node: Found, changes: Changes) -> Source:
    changes.done[name] = "Load Image Prompt"
    made = changes.add(name, "IPAdapterCoreLoadPrompt", file=changes.value(node, "embeds"), negative_file="none")
    return Source(made, 0)


EMBEDS = {"IPAdapterEncoder": _encoder, "IPAdapterCombineEmbeds": _combine, "IPAdapterLoadEmbeds": _load}


def params_of(node: Found, changes: Changes, key: str) -> list[tuple[str, Found]]:
    """The regions behind an input, in order."""
    found = changes.behind(node, key)
    if found is None:
        return []
    name, maker, _ = found
    if maker.kind == "IPAdapterRegionalConditioning":
        return [(name, maker)]
    if maker.kind != "IPAdapterCombineParams":
        raise CannotMigrateError(f"{key} comes from {maker.kind}, which is not known here")
    changes.done[name] = "nothing: regions follow each other"
    return [one for place in range(1, 6) for one in params_of(maker, changes, f"params_{place}")]
