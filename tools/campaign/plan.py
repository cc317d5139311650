"""A plan as data: a YAML file of lists, or a table with a line for each image. Nothing that it says is run or fetched."""

import csv
import io
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..comfyui.client import Prompt
from ..comfyui.titled import TitleError, checked, purposes
from ..environment import ROOT
from ..mcp_server.refusal import Folders, Refused, short

EXAMPLES = ROOT / "docs" / "examples"
DEMO_GRAPH = EXAMPLES / "image_prompt_demo.json"
MOST_JOBS = 10_000  # images: a page of them has some 60 MB
MOST_BYTES = 8 * 2**20  # of a plan, a table or a workflow
LONGEST_PROMPT = 2000
MOST_SEED = 2**53 - 1  # what JSON carries exactly everywhere
LISTS = ("references", "prompts", "seeds", "weights", "purposes")
KEYS = (*LISTS, "graph", "size", "table")
COLUMNS = ("reference", "prompt", "seed", "weight", "purpose", "size")
DEFAULTS: dict[str, list[Any]] = {"seeds": [1], "weights": [0.8], "purposes": ["style"]}


@dataclass(frozen=True)
class Line:
    """One image that is asked for; its reference is a path that nobody looked at yet."""

    reference: str
    prompt: str
    seed: int
    weight: float
    purpose: str
    size: int | None


@dataclass(frozen=True)
class Plan:
    """What is asked for, and the workflow that makes it."""

    graph: Prompt
    lines: tuple[Line, ...]


def read_plan(file: Path, folders: Folders) -> Plan:
    """The plan in a file. Raises `Refused` for what is wrong with the plan itself, before anything is started."""
    home = file.resolve().parent
    if file.suffix.lower() == ".csv":
        said: dict[str, Any] = {"table": file.name}
    else:
        said = _yaml(file)
    graph = _graph(folders.file(str(home / _text(said.get("graph", str(DEMO_GRAPH)), "graph"))))
    if "table" in said:
        if given := [key for key in (*LISTS, "size") if key in said]:
            raise Refused(f"the plan has a table and {', '.join(given)}: put these into the table's columns")
        lines = _table(folders.file(str(home / _text(said["table"], "table"))))
    else:
        lines = _product(said, home)
    known = purposes(graph)
    if wrong := sorted({line.purpose for line in lines} - set(known)):
        raise Refused(f"purpose is {short(wrong[0])!r}, expected one of {known}")
    return Plan(graph, tuple(dict.fromkeys(lines)))


def _yaml(file: Path) -> dict[str, Any]:
    try:
        said = yaml.safe_load(_bytes(file))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"{short(file.name)} is no YAML that can be read: {short(error)}") from error
    if not isinstance(said, dict):
        raise Refused(f"{short(file.name)} holds {type(said).__name__}, expected the keys {', '.join(KEYS)}")
    if unknown := [short(key) for key in said if key not in KEYS]:
        raise Refused(f"{short(file.name)} has unknown keys {short(unknown[:10])}, expected {', '.join(KEYS)}")
    return said


def _graph(file: Path) -> Prompt:
    try:
        graph = checked(json.loads(_bytes(file)))
        if bare := [short(name) for name, node in graph.items() if not isinstance(node.get("inputs"), dict)]:
            raise TitleError(f"its node {bare[0]} has no inputs: export it with Export (API) of ComfyUI's menu")
        return graph
    except (TitleError, ValueError, RecursionError) as error:
        raise Refused(f"the workflow {short(file.name)}: {short(error)}") from error


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused(f"{short(file)} cannot be read: {short(error.strerror or error)}") from error
    if len(data) > MOST_BYTES:
        raise Refused(f"{short(file.name)} has more than {MOST_BYTES:,} bytes")
    return data


def _product(said: dict[str, Any], home: Path) -> list[Line]:
    lists = {key: _list(said.get(key, DEFAULTS.get(key, [])), key) for key in LISTS}
    references = [path for text in lists["references"] for path in _paths(_text(text, "references"), home)]
    count = len(references) * math.prod(len(values) for key, values in lists.items() if key != "references")
    if not 0 < count <= MOST_JOBS:
        raise Refused(f"the plan asks for {count:,} images, expected 1 to {MOST_JOBS:,}: look at {', '.join(LISTS)}")
    prompts, seeds = [_prompt(text) for text in lists["prompts"]], [_seed(value) for value in lists["seeds"]]
    weights, uses = (
        [_weight(value) for value in lists["weights"]],
        [_text(text, "purposes") for text in lists["purposes"]],
    )
    size = _size(said.get("size"))
    order = itertools.product(references, uses, prompts, seeds, weights)
    return [Line(path, text, seed, weight, use, size) for path, use, text, seed, weight in order]


def _list(value: Any, key: str) -> list[Any]:
    """A list, one value alone, or whole numbers as "1-12"."""
    if key == "seeds" and isinstance(value, str):
        first, dash, last = value.partition("-")
        if not (dash and first.strip().isdecimal() and last.strip().isdecimal()):
            raise Refused(f"seeds is {short(value)!r}, expected numbers or a range such as 1-12")
        if int(last) - int(first) >= MOST_JOBS:
            raise Refused(f"seeds {short(value)!r} are more than {MOST_JOBS:,}")
        return list(range(int(first), int(last) + 1))
    return value if isinstance(value, list) else [value]


def _paths(text: str, home: Path) -> list[str]:
    """One path as it is, or what a pattern finds below the plan's folder; a pattern that finds nothing stays itself."""
    if "*" not in text:
        return [_path(text, home)]
    if Path(text).is_absolute() or ".." in Path(text).parts:
        raise Refused(f"the pattern {short(text)!r} leads outside: patterns start in the plan's folder")
    return [str(path) for path in itertools.islice(sorted(home.glob(text)), MOST_JOBS + 1)] or [str(home / text)]


def _path(text: str, home: Path) -> str:
    return text if "://" in text else str(home / text)


def _table(file: Path) -> list[Line]:
    try:
        rows = list(itertools.islice(csv.DictReader(io.StringIO(_bytes(file).decode("utf-8-sig"))), MOST_JOBS + 1))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"the table {short(file.name)} cannot be read: {short(error)}") from error
    if not 0 < len(rows) <= MOST_JOBS:
        raise Refused(f"the table {short(file.name)} has {len(rows):,} lines, expected 1 to {MOST_JOBS:,}")
    names = set(rows[0])
    if not {"reference", "prompt"} <= names <= set(COLUMNS):
        found = short([str(name) for name in rows[0]][:10])
        raise Refused(f"the table has columns {found}, expected reference, prompt and any of {', '.join(COLUMNS[2:])}")
    return [_row(row, number, file.resolve().parent) for number, row in enumerate(rows, 2)]


def _row(row: dict[str, Any], number: int, home: Path) -> Line:
    try:
        if None in row:
            raise Refused("it has more values than there are columns")
        values = {name: (value or "").strip() for name, value in row.items()}
        seed, weight, size = (values.get(name, "") for name in ("seed", "weight", "size"))
        return Line(
            _path(_text(values["reference"], "reference"), home),
            _prompt(values["prompt"]),
            _seed(int(seed) if seed else DEFAULTS["seeds"][0]),
            _weight(float(weight) if weight else DEFAULTS["weights"][0]),
            values.get("purpose") or DEFAULTS["purposes"][0],
            _size(int(size) if size else None),
        )
    except (Refused, ValueError) as error:
        raise Refused(f"line {number} of the table: {short(error)}") from error


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise Refused(f"{key} has {short(repr(value))}, expected a text")
    return value


def _prompt(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_PROMPT:
        raise Refused(f"a prompt is {short(repr(value))}, expected a text of at most {LONGEST_PROMPT} characters")
    return value


def _seed(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_SEED:
        raise Refused(f"a seed is {short(repr(value))}, expected a whole number from 0 to {MOST_SEED}")
    return value


def _weight(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Refused(f"a weight is {short(repr(value))}, expected a number")
    return float(value)


def _size(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 16 <= value <= 16_384):
        raise Refused(f"size is {short(repr(value))}, expected a whole number from 16 to 16,384 pixels")
    return value
