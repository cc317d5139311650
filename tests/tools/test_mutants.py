"""The mutations fit the source, their tests are there, the page lists them, and two of them are tried for real."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pack.tools.environment import ROOT
from pack.tools.mutants.main import main, refusals
from pack.tools.mutants.mutation import Mutation
from pack.tools.mutants.table import MUTATIONS, PAGE, page, place_of

pytestmark = pytest.mark.tool

TWO = """
import sys
sys.path.insert(0, "tools")
from loading import load_pack, use_comfyui
use_comfyui()
load_pack()
from pack.tools.mutants.forks import tried
from pack.tools.mutants.mutation import Mutation
place = "", "ipadapter_core/quoting.py", "return shown if len(shown) <= limit else shown[: limit - 1] + CUT"
test = ("tests/test_quoting.py::test_values_are_cut",)
noticed = Mutation("noticed", *place, "return shown", test)
harmless = Mutation("harmless", *place, "return shown if limit >= len(shown) else shown[: limit - 1] + CUT", test)
assert not tried([noticed, harmless])
"""


def names_in(file: Path) -> set[str]:
    """The names of a file's tests."""
    return {node.name for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_every_mutation_fits_the_source():
    """Its text is there exactly once, something else takes its place, and the file can still be read as Python."""
    assert refusals(MUTATIONS) == []
    for one in MUTATIONS:
        ast.parse(one.applied_to(one.source()))
        assert one.before != one.after and one.file.startswith("ipadapter_core/"), one.name
    assert len({one.name for one in MUTATIONS}) == len(MUTATIONS) >= 40


@pytest.mark.parametrize("one", MUTATIONS, ids=lambda one: one.name)
def test_the_tests_that_must_notice_are_there(one):
    """By file and name."""
    assert one.tests
    for test in one.tests:
        file, _, name = place_of(test).partition("::")
        assert name in names_in(ROOT / file), test


def test_every_room_has_mutations():
    """Whatever computes: only rooms that draw, or hold nothing but names, go without."""
    rooms = {path.name for path in (ROOT / "ipadapter_core").iterdir() if (path / "__init__.py").is_file()}
    assert rooms - {one.file.split("/")[1] for one in MUTATIONS} == {"drawing"}


def test_the_page_lists_them():
    """docs/testing.md is what `dev.py mutants` writes."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_a_text_that_is_gone_is_refused(monkeypatch, capsys):
    """Nothing is tried then."""
    gone = Mutation(
        "gone", "nothing", "ipadapter_core/limits.py", "no such text", "another", ("tests/test_x.py::test_y",)
    )
    monkeypatch.setattr("pack.tools.mutants.main.MUTATIONS", (gone,))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was tried"))
    assert main([]) == 1 and "its text stands 0 times" in capsys.readouterr().err
    assert main(["--only", "nobody"]) == 1 and "no mutation is named 'nobody'" in capsys.readouterr().err


def test_two_are_tried():
    """In copies of the tree: one that a test notices, one that changes nothing and survives; the tree stays as it is."""
    before = {one.file: one.source() for one in MUTATIONS}
    ran = subprocess.run([sys.executable, "-c", TWO], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-2000:]
    said = [line.split()[0] for line in ran.stdout.splitlines() if line.endswith(("noticed", "harmless"))]
    assert said == ["killed", "SURVIVED"] and "1 of 2 killed" in ran.stdout
    assert before == {one.file: one.source() for one in MUTATIONS}
