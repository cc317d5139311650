"""Which node is connected to the one that runs: for errors about what came from there."""

import sys
from collections.abc import Mapping
from typing import Any

from comfy_execution.utils import get_executing_context

from ..ipadapter_core.quoting import quoted


def connected_node(name: str) -> str | None:
    """The title and number of the node behind an input of the running node; None where ComfyUI's queue does not know it."""
    context = get_executing_context()
    queue = _queue()
    if context is None or queue is None:
        return None
    running, _ = queue.get_current_queue_volatile()
    prompts: list[Mapping[str, Any]] = [prompt for _, number, prompt, *_ in running if number == context.prompt_id]
    for prompt in prompts:
        inputs: Mapping[str, Any] = prompt.get(context.node_id, {}).get("inputs", {})
        links: list[Any] = [
            value for key, value in inputs.items() if key.rpartition(".")[2] == name and isinstance(value, list)
        ]
        if links and links[0][0] in prompt:
            return _titled(links[0][0], prompt[links[0][0]])
    return None


def _titled(number: str, node: Mapping[str, Any]) -> str:
    title = node.get("_meta", {}).get("title") or node.get("class_type")
    return f"{quoted(title)} (node {number})"


def _queue() -> Any:
    server = sys.modules.get("server")
    instance = getattr(getattr(server, "PromptServer", None), "instance", None)
    return getattr(instance, "prompt_queue", None)
