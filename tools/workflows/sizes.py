"""How large a node is: as much as both of ComfyUI's ways of drawing it need, with room for what it shows after a run.

Measured in frontend 1.58.1; tests/server/test_browser.py measures again.
"""

from typing import Any

from .declared import NOTE, declared, grows, is_widget
from .node import Node

WIDTH = 340
TITLE = 30  # above the place of a node, which is that of its body
EDGES, SLOT, WIDGET, TEXT = 14, 20, 28, 120
SOURCE, UNFOLD = 24, 24  # the name of the pack below a node, the button that shows advanced inputs
SHOWN = {  # what stands below the widgets: previews, and what a node tells
    "LoadImage": 244,
    "SaveImage": 300,
    "SaveAnimatedWEBP": 300,
    "SaveVideo": 300,
    "KSamplerAdvanced": 80,
    "IPAdapterCoreSaveTrace": 300,
    "IPAdapterCoreLoad": 120,
    "IPAdapterCoreApply": 60,
    "IPAdapterCoreSweep": 16,
    "IPAdapterCoreReferencesOverFrames": 16,
    "DemoWorldPromptScore": 8,
    "IPAdapterCoreEncode": 260,
    "IPAdapterCoreEncodeFace": 260,
    "IPAdapterCoreLayerWeights": 160,
    "IPAdapterCoreFrameWeights": 240,
    "IPAdapterCoreAttentionMaps": 200,
    "IPAdapterCoreScore": 160,
    "IPAdapterCoreTrain": 200,
    "LossGraphNode": 260,
}
NOTE_LINE, LETTERS = 22, 44  # of a note: the height of a line, and how many letters one has


def size_of(node: Node, object_info: dict[str, Any]) -> tuple[int, int]:
    """Width and height of a node's body."""
    if node.kind not in object_info:
        text = str(node.inputs.get("text", ""))
        lines = sum(1 + len(line) // LETTERS for line in text.splitlines())
        return WIDTH, 40 + NOTE_LINE * lines
    info = object_info[node.kind]
    entries = list(declared(info, node.inputs))
    widgets = [options for _, kind, options in entries if is_widget(kind, options)]
    shown = [options for options in widgets if not options.get("advanced")]
    rows = max(len(entries) - len(widgets), len(info.get("output", NOTE["output"])))
    height = EDGES + SLOT * rows + sum(TEXT if one.get("multiline") else WIDGET for one in shown)
    ours = "custom_nodes" in (info.get("python_module") or "")
    height += SLOT * grows(info)  # one more socket, to be connected
    return WIDTH, height + SOURCE * ours + UNFOLD * (len(shown) < len(widgets)) + SHOWN.get(node.kind, 0)
