"""What a workflow shows when it opens as an app: ComfyUI's App Mode, `extra.linearData` of the browser's file.

Source: Comfy-Org/ComfyUI_frontend 1.58.1, src/stores/appModeStore.ts; the same in 1.47.12.
"""

from dataclasses import dataclass
from typing import Any

from .node import Node

Entry = tuple[Node, str]  # a node and the name of its widget; the node's `labels` say what the form calls it


@dataclass(frozen=True)
class App:
    """The widgets of the form in order, and the nodes whose images are shown."""

    inputs: tuple[Entry, ...]
    outputs: tuple[Node, ...]

    def as_kept(self) -> dict[str, Any]:
        """Its part of `extra`."""
        data = {
            "inputs": [[node.number, name] for node, name in self.inputs],
            "outputs": [node.number for node in self.outputs],
        }
        return {"linearMode": True, "linearData": data}
