"""`docs/errors.md`: every error that our code raises, with a workflow that provokes it, as it was really provoked."""

import ast
import functools
import re
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

from ..environment import ROOT

PAGE = ROOT / "docs" / "errors.md"
ROOMS = ("ipadapter_core", "nodes", "compat")
CHECKPOINT = re.compile(r"training_[0-9a-f]{12}")  # a name that changes with whatever a training depends on
HEAD = """# What went wrong?

Every error of the pack says what was found, what was expected, and which node or file to change. This page lists each of
them with the smallest workflow that provokes it; `python3 dev.py docs` writes it by running those workflows.
"""


class Place(NamedTuple):
    """Where the code raises: the file from the root, and the lines of the statement."""

    file: str
    first: int
    last: int


class Provoked(NamedTuple):
    """What a workflow led to: its name, the workflow in words, the error and the places that raised it and its causes."""

    name: str
    graph: list[str]
    kind: type[Exception]
    message: str
    places: tuple[Place, ...]


def places() -> list[Place]:
    """Every `raise` of one of our exceptions."""
    names = {entry.name for entry in _tree("ipadapter_core/errors.py").body if isinstance(entry, ast.ClassDef)}
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    return [place for file in files for place in _places(file.relative_to(ROOT).as_posix(), names)]


@functools.cache
def provoke() -> tuple[Provoked, ...]:
    """Runs every workflow of `tools/miniature/error_graphs.py`; raises `AssertionError` for one that runs through."""
    from ..miniature.error_graphs import ERROR_GRAPHS

    return tuple(_provoke(build) for build in ERROR_GRAPHS)


def unprovoked() -> list[Place]:
    """The places that no workflow of `tools/miniature/error_graphs.py` reaches."""
    reached = [place for one in provoke() for place in one.places]
    return [
        place
        for place in places()
        if not any(one.file == place.file and place.first <= one.first <= place.last for one in reached)
    ]


def pages() -> dict[Path, str]:
    """The page with its text."""
    from ...ipadapter_core import errors

    found = provoke()
    parts = [HEAD]
    for kind in vars(errors).values():
        mine = [one for one in found if isinstance(kind, type) and one.kind.__name__ == kind.__name__]
        if mine:
            parts.append(f"## {kind.__name__}\n\n{(kind.__doc__ or '').strip()}\n")
            parts += [_entry(one) for one in mine]
    return {PAGE: "\n".join(parts)}


def _provoke(build) -> Provoked:
    from ...ipadapter_core.errors import IPAdapterError
    from ..miniature.files import workshop

    with tempfile.TemporaryDirectory() as folder, workshop(Path(folder)) as shop:
        step = build(shop)
        try:
            step.value()
        except IPAdapterError as error:
            message = CHECKPOINT.sub("training_0123456789ab", str(error).replace(folder, "ComfyUI"))
            return Provoked(build.__name__, step.lines(), type(error), message, _raised(error))
    raise AssertionError(f"{build.__name__} was to provoke an error and ran through")


def _raised(error: BaseException | None) -> tuple[Place, ...]:
    found = []
    while error is not None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        file = Path(frame.filename)
        if file.is_relative_to(ROOT):
            found.append(Place(file.relative_to(ROOT).as_posix(), frame.lineno or 0, frame.lineno or 0))
        error = error.__cause__
    return tuple(found)


def _entry(one: Provoked) -> str:
    title = one.name.replace("_", " ").capitalize()
    where = f"`{one.places[0].file}`"
    return f"### {title}\n\n> {one.message}\n\n```text\n" + "\n".join(one.graph) + f"\n```\n\nRaised in {where}.\n"


def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def _places(file: str, names: set[str]) -> list[Place]:
    found = []
    for statement in ast.walk(_tree(file)):
        if not isinstance(statement, ast.Raise) or not isinstance(statement.exc, ast.Call):
            continue
        called = statement.exc.func
        if isinstance(called, ast.Name) and (called.id in names or called.id.startswith("_")):  # or made by a function
            found.append(Place(file, statement.lineno, statement.end_lineno or statement.lineno))
    return found
