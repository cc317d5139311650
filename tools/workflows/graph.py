"""Workflows as data: nodes and links once, as an API prompt or as a workflow file that opens in the browser."""

from typing import Any

from .app import App
from .declared import NOTES
from .node import Node, Output
from .page import page_of

__all__ = ["Graph", "Node", "Output"]


class Graph:
    """A growing workflow; with an `app` it opens as a form."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.app: App | None = None

    def add(
        self, kind: str, title: str | None = None, models: list[dict[str, str]] | None = None, /, **inputs: Any
    ) -> Node:
        """One more node; its `node[0]`, `node[1]` ... are the inputs of later ones."""
        node = Node(len(self.nodes) + 1, kind, inputs, title, models or [])
        self.nodes.append(node)
        return node

    def prompt(self) -> dict[str, dict[str, Any]]:
        """The API format; notes are left out."""
        return {
            str(node.number): {
                "class_type": node.kind,
                "inputs": {
                    name: [str(value.node.number), value.slot] if isinstance(value, Output) else value
                    for name, value in node.inputs.items()
                },
                "_meta": {"title": node.title or node.kind},
            }
            for node in self.nodes
            if node.kind not in NOTES
        }

    def workflow(self, object_info: dict[str, Any]) -> dict[str, Any]:
        """The browser's format 0.4; slots and the order of widgets come from the server's `object_info`."""
        return page_of(self.nodes, object_info, self.app)
