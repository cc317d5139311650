"""`python3 dev.py migrate FILE`: rewrites a workflow of ComfyUI_IPAdapter_plus to our own nodes, as far as that goes.

The file may be a workflow of the browser, an API prompt, a request with one, or an image that has either inside. The
result is written beside it, as FILE.native.json, and
everything that changed and everything that could not is printed. What could not stays as it is, and keeps running.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ...nodes import NODES
from ...nodes.compat import OLD_NODES
from ...nodes.folders import register_folders
from .changes import CannotMigrateError, Changes, result
from .graph_file import ApiFile, Found, Infos, Nodes, UiFile
from .loaders_and_prompts import LOADERS, loaded
from .read import UnreadableFileError, read
from .rules import RULES, check
from .today import FIRST, STAYING, today

ALONE = "it has no counterpart by itself"

CORE: Infos = {
    "ConditioningSetMask": {
        "input": {"required": {
            "conditioning": ("CONDITIONING",), "mask": ("MASK",),
            "strength": ("FLOAT", {"default": 1.0}), "set_cond_area": (["default", "mask bounds"],),
        }},
        "output": ["CONDITIONING"], "output_name": ["CONDITIONING"],
    },
}  # fmt: skip


class Migrated(NamedTuple):
    """A new file, and what there is to say about each old node, those that changed and those that could not."""

    content: dict[str, Any]
    changed: list[str]
    stayed: list[str]


def migrate(content: dict[str, Any]) -> Migrated:
    """Rewrites a workflow, its subgraphs, or an API prompt."""
    register_folders()
    infos = CORE | {node.GET_SCHEMA().node_id: node.GET_NODE_INFO_V1() for node in (*NODES, *OLD_NODES)}
    if "nodes" not in content:
        return _migrated(ApiFile(content), infos)
    whole = _migrated(UiFile(content), infos)
    subgraphs = whole.content.get("definitions", {}).get("subgraphs") or []
    parts = [_migrated(UiFile(one), infos) for one in subgraphs]
    if parts:
        whole.content["definitions"]["subgraphs"] = [part.content for part in parts]
    changed, stayed = (sum((getattr(part, name) for part in (whole, *parts)), []) for name in ("changed", "stayed"))
    return Migrated(whole.content, changed, stayed)


def _migrated(file: ApiFile | UiFile, infos: Infos) -> Migrated:
    nodes = file.read(infos)
    changes = Changes(nodes, infos)
    old = {node.GET_SCHEMA().node_id for node in OLD_NODES}
    stayed: dict[str, str] = {}
    for name, node in nodes.items():
        if node.kind in (*RULES, *FIRST) and name not in changes.done and (why := _tried(name, node, changes)):
            stayed[name] = why
    for name, node in nodes.items():
        if node.kind in LOADERS and not node.asleep and (why := _tried(name, node, changes, load=True)):
            stayed.setdefault(name, why)
    new, kept = result(changes)
    changed = [f"{_called(name, nodes)} -> {said}" for name, said in changes.done.items() if name not in kept]
    for name, needing in sorted(kept.items()):
        stayed[name] = f"{' and '.join(_called(one, nodes) for one in needing)}, which stays, still needs it"
    alone = [name for name, node in nodes.items() if node.kind in old and name not in changes.done]
    stayed |= {name: STAYING.get(nodes[name].kind, ALONE) for name in alone if name not in stayed}
    return Migrated(
        file.written(new, infos), changed, [f"{_called(name, nodes)}: {why}" for name, why in stayed.items()]
    )


def _tried(name: str, node: Found, changes: Changes, load: bool = False) -> str:
    """Follows a node's rule; why that cannot be done, or nothing."""
    state = changes.saved()
    try:
        if node.asleep:
            raise CannotMigrateError("it is muted or bypassed")
        if load:
            loaded(name, node, changes)
            return ""
        known = today(node, changes.infos)
        check(known, changes)
        changes.done[name] = RULES[known.kind](name, known, changes)
    except CannotMigrateError as reason:
        changes.restore(state)
        return str(reason)
    return ""


def _called(name: str, nodes: Nodes) -> str:
    return f"{nodes[name].kind} (node {name})" if name in nodes else f"a new node ({name})"


def main(arguments: list[str]) -> int:
    """Reads the command line, writes the new file and says what is in it."""
    parser = argparse.ArgumentParser(prog="dev.py migrate", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--output", type=Path, help="where to write; by default beside the file")
    given = parser.parse_args(arguments)
    try:
        there = read(given.file)
    except UnreadableFileError as error:
        print(error, file=sys.stderr)
        return 1
    found = migrate(there.content)
    target = given.output or given.file.with_suffix(".native.json")
    target.write_text(json.dumps(there.whole(found.content), indent=1) + "\n", encoding="utf-8")
    for title, lines in (("changed", found.changed), ("could not be changed", found.stayed)):
        print(f"{title}: {len(lines) or 'nothing'}")
        print("".join(f"  {line}\n" for line in lines), end="")
    print(f"written: {target}")
    return 0
