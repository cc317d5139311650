"""All mutations, and the page that lists them."""

from pathlib import Path

from ..environment import ROOT
from .files import FILE_MUTATIONS
from .models import MODEL_MUTATIONS
from .mutation import Mutation
from .outside import OUTSIDE_MUTATIONS
from .references import REFERENCE_MUTATIONS
from .sampling import SAMPLING_MUTATIONS
from .weights import WEIGHT_MUTATIONS

MUTATIONS: tuple[Mutation, ...] = (
    *SAMPLING_MUTATIONS, *WEIGHT_MUTATIONS, *MODEL_MUTATIONS, *REFERENCE_MUTATIONS, *FILE_MUTATIONS, *OUTSIDE_MUTATIONS
)  # fmt: skip
PAGE = ROOT / "docs" / "testing.md"
HEAD = """# Testing

`python3 dev.py test` runs the suite; what comes behind it goes to pytest. `-m faces` or `-k faces` runs a part (the markers are
in `pyproject.toml`), `-m "not server"` what needs no live ComfyUI, `-m slow` what takes minutes or gigabytes.

- `tests/<room>/` mirrors `ipadapter_core/<room>/`. `tests/laws/` states what holds for every family, by one table of families
  in `tests/oracles/families.py`. `tests/schemas/` is what nodes declare and people read, `tests/server/` a live ComfyUI.
- `tests/oracles/` says what must come out: formulas in float64, diffusers on the same weights, published equations.
- `tools/miniature/` has models, adapters and files small enough for a test.

## Mutants

`python3 dev.py mutants` breaks the pack in each of these ways, one at a time and in a copy, and runs the tests beside it: one
of them must fail. It ends with 1 when a mutation survives, and writes this page when none does. `--only WORDS` tries those
whose name holds the words, `--list` shows them. It wants a system that can fork: Linux, macOS, or WSL.

| Name | Broken | File | Noticed by |
| --- | --- | --- | --- |
"""


def page(mutations: tuple[Mutation, ...] = MUTATIONS) -> str:
    """The text of docs/testing.md."""
    return HEAD + "".join(_row(one) for one in mutations)


def write_page() -> Path:
    """Writes docs/testing.md."""
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    return PAGE


def _row(one: Mutation) -> str:
    tests = "<br>".join(f"`{place_of(test)}`" for test in one.tests)
    return f"| {one.name} | {one.breaks} | `{one.file}` | {tests} |\n"


def place_of(test: str) -> str:
    """A test's place without the case that is meant: `tests/a/test_b.py::test_c`."""
    return test.partition("[")[0]
