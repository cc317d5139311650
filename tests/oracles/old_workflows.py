"""Every workflow of `old_graphs.py` and `old_face_graphs.py` by name, and as a workflow of the browser."""

from typing import Any

from pack.tests.oracles.old_face_graphs import (
    faceid,
    faceid_batch,
    faceid_kolors,
    ideal_faceid_config,
    kolors,
    portrait,
)
from pack.tests.oracles.old_graphs import (
    advanced,
    clipvision_enhancer,
    combine_embeds,
    cosxl_edit,
    negative_image,
    noise_injection,
    precise_composition,
    precise_weight_type,
    regional_conditioning,
    simple,
    style_composition,
    tiled,
    weight_types,
    weighted_embeds,
    weights,
)
from pack.tools.workflows.graph import Graph

GRAPHS = {
    build.__name__: build
    for build in (
        simple, advanced, weight_types, combine_embeds, weighted_embeds, negative_image, noise_injection, tiled,
        regional_conditioning, style_composition, precise_weight_type, precise_composition, clipvision_enhancer, weights,
        faceid, faceid_batch, ideal_faceid_config, portrait, kolors, faceid_kolors, cosxl_edit,
    )
}  # fmt: skip


def old_workflow(graph: Graph, info: dict[str, Any]) -> dict[str, Any]:
    """The browser's file as it was saved with ComfyUI_IPAdapter_plus: `results` was not there yet."""
    workflow = graph.workflow(info)
    for node in workflow["nodes"]:
        if node["type"] in info and "results" in info[node["type"]]["input"].get("optional", {}):
            node["widgets_values"] = node["widgets_values"][:-1]
    return workflow
