"""What a migration has changed so far: nodes that came, outputs that others took over, and what there is to say."""

from dataclasses import dataclass, field
from typing import Any

from .graph_file import Found, Infos, Nodes, Source

PASS_ON = "Reroute"


class CannotMigrateError(Exception):
    """A node has to stay as it is; the message says why."""


@dataclass
class Changes:
    """Nodes by name, those that came with whom they stand in for, and for each old output the new one."""

    nodes: Nodes
    infos: Infos
    added: Nodes = field(default_factory=dict)
    taken_over: dict[Source, Source] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)  # old nodes, and what became of them
    remembered: dict[tuple, Any] = field(default_factory=dict)

    def saved(self) -> tuple[dict, ...]:
        """The state, to come back to."""
        return tuple(dict(part) for part in (self.added, self.taken_over, self.done, self.remembered))

    def restore(self, state: tuple[dict, ...]) -> None:
        """Goes back to a state."""
        self.added, self.taken_over, self.done, self.remembered = state

    def add(self, near: str, kind: str, **inputs: Any) -> str:
        """A new node in the place of an old one; inputs that are None are left open."""
        numbers = [int(name) for name in (*self.nodes, *self.added) if name.isdecimal()]
        name = str(max(numbers, default=0) + 1)
        self.added[name] = Found(kind, {key: one for key, one in inputs.items() if one is not None}, near=near)
        return name

    def once(self, near: str, kind: str, **inputs: Any) -> str:
        """The same node for all who ask for the same."""
        key = (kind, *sorted((name, str(value)) for name, value in inputs.items()))
        if key not in self.remembered:
            self.remembered[key] = self.add(near, kind, **inputs)
        return self.remembered[key]

    def value(self, node: Found, name: str, default: Any = None) -> Any:
        """An input: a value, or the output that it comes from, as it is now called."""
        value = node.inputs.get(name, default)
        if not isinstance(value, Source):
            return value
        source = self.origin(value)
        return self.taken_over.get(source, source)

    def origin(self, source: Source) -> Source:
        """The output behind reroutes."""
        while source.node in self.nodes and self.nodes[source.node].kind == PASS_ON:
            behind = [value for _, value in self.nodes[source.node].links()]
            if not behind:
                break
            source = behind[0]
        return source

    def behind(self, node: Found, name: str) -> tuple[str, Found, int] | None:
        """The node that an input comes from: its name, itself and the slot; None where nothing is connected."""
        value = node.inputs.get(name)
        if not isinstance(value, Source):
            return None
        source = self.origin(value)
        if source.node not in self.nodes:
            raise CannotMigrateError(f"{name} comes from outside of the subgraph")
        return source.node, self.nodes[source.node], source.slot

    def literal(self, node: Found, name: str, default: Any = None) -> Any:
        """A value that has to be known now."""
        value = node.inputs.get(name, default)
        if isinstance(value, Source):
            raise CannotMigrateError(f"{name} is connected, and has to be known to choose the nodes")
        return value


def result(changes: Changes) -> tuple[Nodes, dict[str, list[str]]]:
    """The nodes of the new workflow, and those that were migrated but have to stay beside it, with who still needs them."""
    gone = set(changes.done)
    everyone = changes.nodes | changes.added
    kept: dict[str, list[str]] = {}
    while needed := _needed(changes, everyone, gone):
        kept |= needed
        gone -= needed.keys()
    empty = {
        name
        for name, node in everyone.items()
        if node.kind == PASS_ON and any(changes.origin(source).node in gone for _, source in node.links())
    }
    there = {name: node for name, node in everyone.items() if name not in gone | empty}
    for node in there.values():
        node.inputs = {name: _now(value, changes) for name, value in node.inputs.items()}
    return there, kept


def _needed(changes: Changes, nodes: Nodes, gone: set[str]) -> dict[str, list[str]]:
    """Those that are gone although others still take from them what nobody took over; reroutes take nothing themselves."""
    needed: dict[str, list[str]] = {}
    for name, node in nodes.items():
        if name in gone or node.kind == PASS_ON:
            continue
        for origin in {changes.origin(source) for _, source in node.links()}:
            if origin.node in gone and origin not in changes.taken_over and name not in needed.get(origin.node, []):
                needed.setdefault(origin.node, []).append(name)
    return needed


def _now(value: Any, changes: Changes) -> Any:
    return changes.taken_over.get(changes.origin(value), value) if isinstance(value, Source) else value
