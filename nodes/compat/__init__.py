"""The nodes of ComfyUI_IPAdapter_plus under their own ids, so that the workflows that people have keep running.

They stand in only where no other pack has the id: what was registered before stays, and a pack that loads after us
replaces ours, since ComfyUI keeps the class that comes last.
"""

import logging
import os

import nodes as comfyui_nodes  # ComfyUI's own module of that name
from comfy_api.latest import io

from . import apply, embeds, faces, first_release, frames, load, params, pictures, style_composition, tiled

logger = logging.getLogger(__name__)

SWITCH = "IPADAPTER_CORE_OLD_NODES"  # an environment variable; "off" leaves all of them out

OLD_NODES: list[type[io.ComfyNode]] = [
    *apply.NODES,
    *faces.NODES,
    *tiled.NODES,
    *embeds.NODES,
    *style_composition.NODES,
    *params.NODES,
    *load.NODES,
    *pictures.NODES,
    *frames.NODES,
    *first_release.NODES,
]


def nodes_with_free_ids() -> list[type[io.ComfyNode]]:
    """Those of the old nodes whose ids nobody has registered yet; says in the log which are another pack's."""
    if os.environ.get(SWITCH, "").lower() == "off":
        return []
    taken = {node.GET_SCHEMA().node_id for node in OLD_NODES if _is_taken(node.GET_SCHEMA().node_id)}
    if taken:
        logger.info("IP-Adapter Core: %d old nodes stay another pack's: %s", len(taken), ", ".join(sorted(taken)))
    return [node for node in OLD_NODES if node.GET_SCHEMA().node_id not in taken]


def _is_taken(node_id: str) -> bool:
    there = vars(comfyui_nodes)["NODE_CLASS_MAPPINGS"].get(node_id)
    return there is not None and there not in OLD_NODES
