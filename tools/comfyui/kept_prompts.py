"""The image prompt of a titled graph: made once of references and kept in a PNG, then loaded where it was made."""

import copy
import hashlib
import json
from typing import Any

from .client import Prompt
from .titled import TitleError, add, by_title, refer

KEPT = "Kept prompt"  # the title of the node that saves it


def keeping(graph: Prompt, references: tuple[str, ...], name: str) -> Prompt:
    """A graph that makes the image prompt of uploaded references, saves it under a name, and does nothing else.

    Raises `TitleError` where the nodes titled Apply have no image prompt or not the same one.
    """
    made = copy.deepcopy(graph)
    given = {"image_prompt": _made_by(made), "image": [by_title(made)["Reference"][0], 0]}
    saved = add(made, "IPAdapterCoreSave", given | {"filename_prefix": f"agents/{name}", "form": "PNG"}, KEPT)
    refer(made, references)
    needed = _needed(made, saved)
    return {name: node for name, node in made.items() if name in needed}


def recipe(graph: Prompt, references: tuple[str, ...]) -> str:
    """A name for what an image prompt is made by: references by name, and each node between them and Apply."""
    return hashlib.sha256(json.dumps(keeping(graph, references, ""), sort_keys=True).encode()).hexdigest()[:32]


def saved_entry(graph: Prompt, outputs: dict[str, Any]) -> dict[str, str]:
    """Where ComfyUI keeps the PNG that a run of `keeping` saved: for `ComfyClient.picture`."""
    return outputs[by_title(graph)[KEPT][0]]["images"][0]


def with_kept(graph: Prompt, image: str) -> Prompt:
    """A copy of a graph that loads the prompt from an uploaded PNG; nodes that only made it are left out."""
    made = copy.deepcopy(graph)
    old = _made_by(made)
    loaded = add(made, "IPAdapterCoreLoadPromptPNG", {"image": image}, KEPT)
    for apply in by_title(made)["Apply"]:
        made[apply]["inputs"]["image_prompt"] = [loaded, 0]
    _leave_out(made, old[0])
    return made


def _made_by(graph: Prompt) -> list[Any]:
    """The link from which each node titled Apply has its image prompt."""
    links = [graph[name]["inputs"].get("image_prompt") for name in by_title(graph)["Apply"]]
    if not _is_link(graph, links[0]) or any(link != links[0] for link in links):
        raise TitleError("the nodes titled Apply have no image prompt, or not one and the same: docs/api.md")
    return links[0]


def _is_link(graph: Prompt, value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] in graph


def _sources(graph: Prompt, name: str) -> set[str]:
    return {value[0] for value in graph[name]["inputs"].values() if _is_link(graph, value)}


def _needed(graph: Prompt, name: str) -> set[str]:
    """A node and everything that it is made of."""
    found, ahead = set[str](), [name]
    while ahead:
        if (one := ahead.pop()) not in found:
            found.add(one)
            ahead += _sources(graph, one)
    return found


def _leave_out(graph: Prompt, name: str) -> None:
    """Takes out a node that no other needs any more, and then its sources likewise."""
    if any(name in _sources(graph, other) for other in graph):
        return
    sources = _sources(graph, name)
    del graph[name]
    for one in sources:
        _leave_out(graph, one)
