"""The one note of a workflow: what to change first."""

from .node import Node

TITLE = "What to change first"
ROWS = {  # kinds, and what to say of the first of them; {titles} are the titles of all of them
    "LoadImage": "**{titles}**: your own image.",
    "DemoWorldPicture": "**{titles}**: another shape or colour, or a *Load Image* in its place.",
    "CLIPTextEncode": "**{titles}**: what to make, and what to leave out.",
    "IPAdapterCorePromptsOverFrames": "**{titles}**: a line for each image.",
    "IPAdapterCoreLayerWeights": "**preset** of *Layer Weights*: what to take from the image (style, composition, all).",
    "IPAdapterCoreApply": "**weight** of *Apply IP-Adapter*: lower it when the text has too little effect.",
}
FILES = "A file is missing? *Load IP-Adapter* and the error panel name it and its folder."


def note_of(nodes: list[Node]) -> str:
    """Its text in Markdown; nothing where there is nothing to change."""
    lines = []
    for kind, text in ROWS.items():
        titles = dict.fromkeys(node.title or "" for node in nodes if node.kind == kind)
        if titles:
            lines.append(text.format(titles="**, **".join(filter(None, titles)) or "Image"))
    if not lines:
        return ""
    listed = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    files = any(node.models for node in nodes)
    return f"{listed}\n\n{FILES}" if files else listed
