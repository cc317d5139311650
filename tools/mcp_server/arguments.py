"""What is wrong with the arguments of a call, in one sentence made from the schema that the agent has seen."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from .refusal import short

MOST_SAID = 3  # of the things that are wrong
LONGEST_VALUE = 80  # characters of a value
Schema = dict[str, Any]
COUNTED = {"string_too_long": "{} characters", "too_long": "{} of them", "too_short": "{} of them"}


def unknown(tool: str, arguments: Sequence[str], schema: Schema) -> str:
    """A sentence where arguments are named that a tool does not have; else an empty text."""
    known = schema["properties"]
    if wrong := [short(name)[:LONGEST_VALUE] for name in arguments if name not in known]:
        return f"{tool} has no argument {', '.join(wrong[:MOST_SAID])}; it takes {', '.join(known) or 'none'}"
    return ""


def wrong(tool: str, error: ValidationError, schema: Schema) -> str:
    """What each argument must be and what was found."""
    said = [_wrong(tool, one, schema) for one in error.errors(include_url=False)[:MOST_SAID]]
    return "; ".join(said)


def _wrong(tool: str, error: Any, schema: Schema) -> str:
    name, *places = error["loc"]
    expected = schema["properties"][name]
    for _ in places:
        expected = _inner(expected).get("items", expected)
    if error["type"] == "missing":
        return f"{tool} needs {name}: {_words(expected)}"
    where = name + "".join(f"[{place}]" for place in places)
    return f"{where} must be {_words(expected)}, found {_found(error)}"


def _found(error: Any) -> str:
    if counted := COUNTED.get(error["type"]):
        return counted.format(len(error["input"]))
    return short(repr(error["input"]))[:LONGEST_VALUE]


def _inner(schema: Schema) -> Schema:
    """What a value is where there is one."""
    return next((one for one in schema.get("anyOf", []) if one.get("type") != "null"), schema)


def _words(schema: Schema) -> str:
    """A schema in words."""
    schema = _inner(schema)
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    return WORDS[schema["type"]](schema)


def _number(schema: Schema) -> str:
    kind = "a whole number" if schema["type"] == "integer" else "a number"
    steps = f" in steps of {schema['multipleOf']}" if "multipleOf" in schema else ""
    return f"{kind} between {schema['minimum']} and {schema['maximum']}{steps}"


def _text(schema: Schema) -> str:
    return f"a text of at most {schema['maxLength']} characters"


def _list(schema: Schema) -> str:
    return f"a list of {schema['minItems']} to {schema['maxItems']}, each {_words(schema['items'])}"


WORDS = {"number": _number, "integer": _number, "string": _text, "array": _list}
