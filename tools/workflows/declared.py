"""What a node declares, read from the server's `object_info`: its inputs in order, as the browser has them."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
GROWING, CHOOSING = "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3"
NOTE: dict[str, Any] = {"input": {"required": {"text": ["STRING", {}]}}, "output": [], "output_name": []}
NOTES = ("MarkdownNote",)  # kinds that are there for people alone

Declared = tuple[str, str, dict[str, Any]]


def declared(info: dict[str, Any], given: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Declared]:
    """Name, type and options of each input of a node, in order; inputs that grow as far as they are `given`."""
    for name, kind, options in _sections(info["input"]):
        if kind == GROWING:
            _, grown, of_each = next(_sections(options["template"]["input"]))
            yield from ((one, grown, of_each) for one in given if one.startswith(f"{name}."))
        elif kind == CHOOSING:
            keys = [option["key"] for option in options["options"]]
            chosen = given.get(name, keys[0])
            yield name, "COMBO", {"options": keys}
            inner = _sections(options["options"][keys.index(chosen)]["inputs"])
            yield from ((f"{name}.{one}", kind, of_each) for one, kind, of_each in inner)
        else:
            yield name, kind, options


def grows(info: dict[str, Any]) -> bool:
    """Whether a node has another socket whenever its last one is connected."""
    return any(kind == GROWING for _, kind, _ in _sections(info["input"]))


def is_widget(kind: str, options: dict[str, Any]) -> bool:
    """Whether an input is set in the node itself."""
    return kind in WIDGETS and not options.get("forceInput")


def has_control(name: str, kind: str, options: dict[str, Any]) -> bool:
    """Whether the browser puts a "control after generate" behind the widget: as declared, else by the name of a seed."""
    declared = options.get("control_after_generate")
    return kind == "INT" and (name in ("seed", "noise_seed") if declared is None else bool(declared))


def default(kind: str, options: dict[str, Any]) -> Any:
    """The value that a widget begins with."""
    empty = {
        "INT": 0,
        "FLOAT": 0.0,
        "STRING": "",
        "BOOLEAN": False,
        "COMBO": next(iter(options.get("options", [])), None),
    }
    return options.get("default", empty[kind])


def _sections(inputs: dict[str, Any]) -> Iterator[Declared]:
    for section in ("required", "optional"):
        for name, (kind, *rest) in inputs.get(section, {}).items():
            yield name, "COMBO" if isinstance(kind, list) else kind, (rest[0] if rest else {})
