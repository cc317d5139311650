"""Which part of a workflow a node belongs to, and in which column it stands: every link goes to the right.

Four zones: models on the left, the image prompt above the text in the middle, the image on the right.
"""

from dataclasses import dataclass
from enum import Enum

from .node import Node, Output


class Zone(Enum):
    """A zone by its title; `COLOURS` has its colour."""

    MODELS = "Models"
    PROMPT = "Image prompt"
    TEXT = "Text and latent"
    IMAGE = "Image"


COLOURS = {Zone.MODELS: "#3f789e", Zone.PROMPT: "#88aa88", Zone.TEXT: "#b58b2a", Zone.IMAGE: "#8a4f9e"}
MIDDLE = (Zone.PROMPT, Zone.TEXT)
BEGINNINGS = {  # how names of kinds begin, the more exact first
    "IPAdapterCorePromptsOverFrames": Zone.TEXT,
    "IPAdapterCoreLoadEncoder": Zone.MODELS,
    "IPAdapterCoreLoadFaceAnalysis": Zone.MODELS,
    "IPAdapterCore": Zone.PROMPT,
    "DemoWorldLoad": Zone.MODELS,
    "CheckpointLoader": Zone.MODELS,
    "CLIPVisionLoader": Zone.MODELS,
    "CLIPLoader": Zone.MODELS,
    "VAELoader": Zone.MODELS,
    "UNETLoader": Zone.MODELS,
    "DualCLIPLoader": Zone.MODELS,
    "LoraLoader": Zone.MODELS,
    "ControlNetLoader": Zone.MODELS,
    "CLIPTextEncode": Zone.TEXT,
    "ControlNetApply": Zone.TEXT,
    "FluxGuidance": Zone.TEXT,
    "Conditioning": Zone.TEXT,
    "KSampler": Zone.IMAGE,
    "VAEEncode": Zone.TEXT,
    "VAEDecode": Zone.IMAGE,
    "Empty": Zone.TEXT,
    "Save": Zone.IMAGE,
}


@dataclass(frozen=True)
class Stand:
    """A node's zone and column."""

    zone: Zone
    column: int


def stands(nodes: list[Node]) -> dict[int, Stand]:
    """Zone and column of each node by its number; `nodes` are in the order in which they were made."""
    zones = _zones(nodes)
    columns: dict[int, int] = {}
    first = 0
    for part in ((Zone.MODELS,), MIDDLE, (Zone.IMAGE,)):
        inside = [node for node in nodes if zones[node.number] in part]
        _fill(inside, columns, first)
        first = max((columns[node.number] + 1 for node in inside), default=first)
    return {node.number: Stand(zones[node.number], columns[node.number]) for node in nodes}


def before(node: Node) -> list[Node]:
    """The nodes that a node reads."""
    return [value.node for value in node.inputs.values() if isinstance(value, Output)]


def _zones(nodes: list[Node]) -> dict[int, Zone]:
    """By kind; whatever reads what the sampler made is of the image, and the rest belongs where it is first needed."""
    zones = {node.number: zone for node in nodes if (zone := _by_kind(node.kind))}
    known = {node.number for node in nodes}
    for node in reversed(nodes):
        if node.number not in zones:
            users = (user for user in nodes if node in before(user))
            zones[node.number] = next((zones[user.number] for user in users), Zone.IMAGE)
    for node in nodes:
        sources = [one for one in before(node) if one.number in known]
        if any(zones[one.number] is Zone.IMAGE for one in sources):
            zones[node.number] = Zone.IMAGE
    return zones


def _by_kind(kind: str) -> Zone | None:
    return next((zone for beginning, zone in BEGINNINGS.items() if kind.startswith(beginning)), None)


def _fill(inside: list[Node], columns: dict[int, int], first: int) -> None:
    """Each node right of those that it reads, then as far to the right as those that read it leave room."""
    for node in inside:
        columns[node.number] = max([first, *(columns.get(one.number, -1) + 1 for one in before(node))])
    last = max((columns[node.number] for node in inside), default=first)
    for node in reversed(inside):
        columns[node.number] = min((columns[user.number] - 1 for user in inside if node in before(user)), default=last)
