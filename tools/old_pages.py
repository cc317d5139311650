"""Help pages for the nodes of ComfyUI_IPAdapter_plus that stand in for old graphs: short, and all from one table."""

from pathlib import Path
from typing import Any

from ..nodes.compat import OLD_NODES
from .environment import ROOT

PAGES = ROOT / "web" / "docs"
APPLY = "*Load IP-Adapter*, *Encode Reference Image*, *Apply IP-Adapter*"
IN_TURN = f"{APPLY} with `references` on `one per frame` and `frame_weights`"
PRESET = "*Load IP-Adapter Preset*"
STYLE = "*Apply Style and Composition*, with an *Encode Reference Image* for each picture"
WAYS = {
    "IPAdapter": APPLY,
    "IPAdapterAdvanced": f"{APPLY}; `weight_type` becomes *Layer Weights*",
    "IPAdapterBatch": IN_TURN,
    "IPAdapterPreciseStyleTransfer": f"{APPLY} with *Layer Weights* on `style transfer precise`",
    "IPAdapterPreciseStyleTransferBatch": f"{IN_TURN}, and *Layer Weights* on `style transfer precise`",
    "IPAdapterPreciseComposition": f"{APPLY} with *Layer Weights* on `composition precise`",
    "IPAdapterPreciseCompositionBatch": f"{IN_TURN}, and *Layer Weights* on `composition precise`",
    "IPAdapterClipVisionEnhancer": "*Encode Reference in Detail*, *Apply IP-Adapter*",
    "IPAdapterClipVisionEnhancerBatch": "*Encode Reference in Detail*, *Apply IP-Adapter* with `one per frame`",
    "IPAdapterFaceID": "*Encode Face*, *Apply FaceID LoRA*, *Apply IP-Adapter*",
    "IPAdapterFaceIDKolors": "*Encode Face*, *Apply IP-Adapter* with a Kolors file",
    "IPAAdapterFaceIDBatch": "*Encode Face*, *Apply FaceID LoRA*, *Apply IP-Adapter* with `one per frame`",
    "IPAdapterMS": f"{APPLY}; `layer_weights` becomes the text of *Layer Weights*",
    "IPAdapterTiled": "*Encode Tiled Reference*, *Apply IP-Adapter*",
    "IPAdapterTiledBatch": "*Encode Tiled Reference*, *Apply IP-Adapter* with `one per frame`",
    "IPAdapterEmbeds": "*Load Image Prompt* or an encode node, *Apply IP-Adapter*",
    "IPAdapterEmbedsBatch": "*Load Image Prompt* or an encode node, *Apply IP-Adapter* with `one per frame`",
    "IPAdapterEncoder": "*Encode Reference Image*; the negative is part of the image prompt",
    "IPAdapterCombineEmbeds": "*Combine Image Prompts*",
    "IPAdapterSaveEmbeds": "*Save Image Prompt*",
    "IPAdapterLoadEmbeds": "*Load Image Prompt*, which reads `.ipadpt` files too",
    "IPAdapterStyleComposition": STYLE,
    "IPAdapterStyleCompositionBatch": STYLE,
    "IPAdapterFromParams": "*Regional Image Prompts*, *Apply IP-Adapter*",
    "IPAdapterRegionalConditioning": "*Regional Image Prompts*",
    "IPAdapterCombineParams": "*Regional Image Prompts*, which has a list of regions",
    "IPAdapterUnifiedLoader": PRESET,
    "IPAdapterUnifiedLoaderFaceID": PRESET,
    "IPAdapterUnifiedLoaderCommunity": f"{PRESET} (COMPOSITION, KOLORS PLUS)",
    "IPAdapterModelLoader": "*Load IP-Adapter*",
    "IPAdapterInsightFaceLoader": "*Load Face Analysis*",
    "IPAdapterNoise": "*Noise for Negative Image*",
    "PrepImageForClipVision": "`fit` and `sharpening` of *Encode Reference Image*",
    "IPAdapterWeights": "*Frame Weights*, *References over Frames*",
    "IPAdapterWeightsFromStrategy": "*Frame Weights*, *References over Frames*",
    "IPAdapterPromptScheduleFromWeightsStrategy": "*Prompts over Frames*",
    "IPAdapterCombineWeights": "*Frame Weights*, whose `before` puts rows one after the other",
}
MISTAKE = (
    "- **Other results than before.** `results` on `corrected` takes in the UNet's middle block and lays masks exactly; "
    "`as IPAdapter_plus` gives the old picture.\n"
)
TAIL = """## The way over

{way}.

`python3 dev.py migrate graph.json` rewrites a whole graph. Where ComfyUI_IPAdapter_plus is installed
beside this pack, its own node stays.
"""


def pages() -> dict[Path, str]:
    """A page for each old node."""
    return {PAGES / f"{schema.node_id}.md": _page(schema) for schema in (node.GET_SCHEMA() for node in OLD_NODES)}


def without_a_way() -> list[str]:
    """Old nodes that the table does not know."""
    return [schema.node_id for schema in (node.GET_SCHEMA() for node in OLD_NODES) if schema.node_id not in WAYS]


def _page(schema: Any) -> str:
    rows = [f"| `{one.id}` | {one.tooltip} |" for one in schema.inputs]
    parts = [f"# {schema.display_name}", schema.description.strip(), "\n".join(["| Input | |", "| --- | --- |", *rows])]
    if any(one.id == "results" for one in schema.inputs):
        parts.append(f"## Common mistakes\n\n{MISTAKE}".rstrip("\n"))
    return "\n\n".join([*parts, TAIL.format(way=WAYS.get(schema.node_id, "There is no native node for this"))])
