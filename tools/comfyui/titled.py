"""A graph in API format whose nodes are found by their titles (docs/api.md), filled with one call's values."""

import copy
import json
from dataclasses import dataclass
from typing import Any

from .client import Prompt

NEEDED = ("Reference", "Prompt", "Apply", "Sampler", "Picture", "Scores")


class TitleError(ValueError):
    """A graph lacks a title, or a node behind one has not what is set there; the message says which."""


@dataclass(frozen=True)
class Fill:
    """What one image is made from: uploaded references by name, the words, and how strongly the references act."""

    references: tuple[str, ...]
    prompt: str
    weight: float
    purpose: str
    seed: int
    size: int | None = None


def by_title(graph: Prompt) -> dict[str, list[str]]:
    """The ids of the nodes of each title."""
    found: dict[str, list[str]] = {}
    for name, node in graph.items():
        found.setdefault(node.get("_meta", {}).get("title", ""), []).append(name)
    return found


def purposes(graph: Prompt) -> list[str]:
    """What a reference may be used for in this graph: the titles of its *Layer Weights*."""
    return [title for title, names in by_title(graph).items() if graph[names[0]]["class_type"] == LAYERS and title]


LAYERS = "IPAdapterCoreLayerWeights"


def checked(graph: Any) -> Prompt:
    """The graph itself. Raises `TitleError` where it is no API graph or lacks a title."""
    if not isinstance(graph, dict) or not all(
        isinstance(node, dict) and "class_type" in node for node in graph.values()
    ):
        raise TitleError("the graph is not in API format: export it with Export (API) of ComfyUI's menu")
    titles = by_title(graph)
    if missing := [title for title in NEEDED if title not in titles]:
        raise TitleError(f"the graph has no node titled {', '.join(missing)}: docs/api.md lists the titles")
    if not purposes(graph):
        raise TitleError("the graph has no Layer Weights node titled style, character or composition")
    return graph


def filled(graph: Prompt, fill: Fill) -> Prompt:
    """A copy of the graph that makes the image. Raises `TitleError` for a purpose or a size that it cannot serve."""
    made = copy.deepcopy(graph)
    titles = by_title(made)
    if fill.purpose not in purposes(made):
        raise TitleError(f"purpose is {fill.purpose[:40]!r}, expected one of {purposes(made)}")
    for title, values in (
        ("Prompt", {"text": fill.prompt}),
        ("Apply", {"weight": fill.weight, "layer_weights": [titles[fill.purpose][0], 0]}),
        ("Sampler", {"seed": fill.seed}),
    ):
        for name in titles[title]:
            made[name]["inputs"].update(values)
    if fill.size is not None:
        _resize(made, titles["Sampler"][0], fill.size)
    refer(made, fill.references)
    return made


def scoring(graph: Prompt, image: str, references: tuple[str, ...], prompt: str) -> Prompt:
    """A copy of the graph that only scores an uploaded image: it stands where the sampled one stood."""
    made = copy.deepcopy(graph)
    titles = by_title(made)
    score = made[made[titles["Scores"][0]]["inputs"]["source"][0]]
    sampled = list(score["inputs"]["images"])
    for name in titles["Prompt"]:
        made[name]["inputs"]["text"] = prompt
    for name in titles["Picture"]:
        del made[name]
    _redirect(made, sampled, _load(made, image))
    refer(made, references)
    return made


def scores(graph: Prompt, outputs: dict[str, Any]) -> dict[str, float | None]:
    """The first row of *Score Images* as the run's outputs show it."""
    row = json.loads(outputs[by_title(graph)["Scores"][0]]["text"][0])["rows"][0]
    return {"similarity": row["references"][0]} | {name: row[name] for name in ("palette", "prompt", "sharpness")}


def image_entry(graph: Prompt, outputs: dict[str, Any]) -> dict[str, str]:
    """Where ComfyUI keeps the image that a run saved: for `ComfyClient.picture`."""
    return outputs[by_title(graph)["Picture"][0]]["images"][0]


def _resize(graph: Prompt, sampler: str, size: int) -> None:
    source = graph[graph[sampler]["inputs"]["latent_image"][0]]["inputs"]
    if not {"width", "height"} <= source.keys():
        raise TitleError("size: this graph's latent has no width and height; leave size out")
    source.update(width=size, height=size)


def refer(graph: Prompt, names: tuple[str, ...]) -> None:
    """Puts the first uploaded reference into its node, further ones in a batch behind it."""
    reference = by_title(graph)["Reference"][0]
    graph[reference]["inputs"]["image"] = names[0]
    link = [reference, 0]
    batches: list[str] = []
    for name in names[1:]:
        inputs = {"image1": link, "image2": _load(graph, name)}
        link = [add(graph, "ImageBatch", inputs), 0]
        batches.append(link[0])
    if batches:
        _redirect(graph, [reference, 0], link, but=batches)


def _load(graph: Prompt, image: str) -> list[Any]:
    return [add(graph, "LoadImage", {"image": image}), 0]


def add(graph: Prompt, kind: str, inputs: dict[str, Any], title: str = "") -> str:
    """Puts a node into the graph; returns its id."""
    name = f"added{len(graph)}"
    graph[name] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title or kind}}
    return name


def _redirect(graph: Prompt, old: list[Any], new: list[Any], but: list[str] | None = None) -> None:
    for name, node in graph.items():
        if name not in (but or []):
            node["inputs"] |= {key: new for key, value in node["inputs"].items() if value == old}
