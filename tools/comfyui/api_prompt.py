"""Reading a graph from `workflows/` and changing a few of its values before it is posted."""

import copy
import json
from typing import Any

from comfy_cli.workflow_to_api import convert_ui_to_api

from ..environment import ROOT
from .client import Prompt


def graph_file(name: str, object_info: dict[str, Any]) -> Prompt:
    """A graph of `workflows/` as an API prompt, by its name without ending."""
    workflow = json.loads((ROOT / "workflows" / f"{name}.json").read_text())
    return convert_ui_to_api(workflow, object_info)


def node(prompt: Prompt, kind: str | tuple[str, ...], title: str | None = None, needed: bool = True) -> str:
    """The id of the only node of a kind (with a title); "" when there is none and none is needed."""
    kinds = (kind,) if isinstance(kind, str) else kind
    found = [
        name
        for name, entry in prompt.items()
        if entry["class_type"] in kinds and title in (None, entry.get("_meta", {}).get("title"))
    ]
    if len(found) != 1 and (needed or found):
        raise KeyError(f"expected one {' or '.join(kinds)} titled {title}, found {len(found)}")
    return found[0] if found else ""


def set_inputs(prompt: Prompt, kind: str, title: str | None = None, /, **values: Any) -> None:
    """Sets inputs of the only node of a kind (with a title)."""
    prompt[node(prompt, kind, title)]["inputs"].update(values)


def without_adapter(prompt: Prompt) -> Prompt:
    """The graph with its sampler on the model that the first *Apply IP-Adapter* before it was given."""
    changed = copy.deepcopy(prompt)
    model = changed[node(changed, "KSampler")]["inputs"]["model"]
    while changed[model[0]]["class_type"] == "IPAdapterCoreApply":
        model = changed[model[0]]["inputs"]["model"]
    set_inputs(changed, "KSampler", model=model)
    return changed
