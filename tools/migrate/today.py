"""Old nodes in the words of today, before their rules are followed: first ids, renamed words, unknown words."""

from dataclasses import replace
from typing import Any

from ...ipadapter_core.compat.first_release import SCALINGS
from ...nodes.compat.words import IMPLIED, Words
from .changes import CannotMigrateError
from .graph_file import Found, Infos, Source

FILES = ("ipadapter_file", "embeds")  # choices whose words lie in a folder
BATCHES = {"IPAdapterAdvanced": "IPAdapterBatch", "IPAdapterFaceID": "IPAAdapterFaceIDBatch"}
STAYING = {
    "IPAdapterTilesMasked": "small tiles over large ones have no native node; Encode Tiled Reference is the nearest",
    "IPAdapterApplyEncoded": "its embeds hold their negative and name no adapter; encode the images with Encode Reference "
    "Image and connect Apply IP-Adapter",
    "IPAdapterBatchEmbeds": "its embeds name no adapter; Combine Image Prompts does the same for image prompts",
    "PrepImageForInsightFace": "it has no native node, and Encode Face needs none: it finds faces of any size",
    "PrepImageForClipVision": "nothing that was migrated takes its image; fit and sharpening of Encode Reference Image do "
    "the same",
}  # and why


def today(node: Found, infos: Infos) -> Found:
    """The node as its rule expects it; raises `CannotMigrateError` for words of no release."""
    node = FIRST[node.kind](node) if node.kind in FIRST else node
    if node.kind == "IPAdapterEncoder" and "ipadapter" not in node.inputs and "image_1" in node.inputs:
        raise CannotMigrateError("until March 2024 it had no ipadapter: use Encode Reference Image, which needs one")
    if node.kind not in infos:
        return node
    declared = {name: one for section in infos[node.kind]["input"].values() for name, one in section.items()}
    inputs: dict[str, Any] = {}
    for name, value in node.inputs.items():
        options = _options(declared.get(name))
        inputs[name] = value
        if options is None or name in FILES or isinstance(value, Source):
            continue
        inputs[name] = _word(name, value, options)
        inputs |= IMPLIED.get(value, {}) if inputs[name] != value else {}
    return replace(node, inputs=inputs)


def _options(declared: Any) -> Words | None:
    options = declared[1].get("options") if declared and len(declared) > 1 and isinstance(declared[1], dict) else None
    return None if options is None else Words(options)


def _word(name: str, value: Any, options: Words) -> str:
    if value not in options:
        known = ", ".join(list(options)[:10])
        raise CannotMigrateError(f"{name}: found '{str(value)[:200]}', expected one of {known}")
    return options.current(value)


def _apply(node: Found) -> Found:
    """*Apply IPAdapter* and its FaceID as today's ids."""
    given = dict(node.inputs)
    noise, unfold, second = (given.pop(name, 0) for name in ("noise", "unfold_batch", "faceid_v2"))
    look, word = given.pop("weight_v2", 1.0), given.pop("weight_type", "original")
    if any(isinstance(one, Source) for one in (noise, unfold, second, word)):
        raise CannotMigrateError("noise, unfold_batch, faceid_v2 or weight_type is connected, and has to be known")
    if noise:
        raise CannotMigrateError(f"its noise is {noise}, which no native node makes; it stays and runs")
    if word not in SCALINGS:
        raise CannotMigrateError(f"weight_type: found '{str(word)[:200]}', expected one of {', '.join(SCALINGS)}")
    faces = node.kind == "IPAdapterApplyFaceID"
    kind = "IPAdapterFaceID" if faces else "IPAdapterAdvanced"
    more: dict[str, Any] = {"weight_type": "linear", "embeds_scaling": SCALINGS[word].value, "combine_embeds": "concat"}
    more |= {"weight_faceidv2": look, "plus_version": "v2" if second else "v1"} if faces else {}
    return replace(node, kind=BATCHES[kind] if unfold else kind, inputs=given | more)


FIRST = {"IPAdapterApply": _apply, "IPAdapterApplyFaceID": _apply}
