"""Markers: every test file has one, the room's own among them, so that `dev.py test -m faces` leaves nothing out."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.tool

TESTS = Path(__file__).parent
FILES = sorted(file.relative_to(TESTS) for file in TESTS.rglob("test_*.py"))
OF_A_ROOM = {  # folder or file: the marker that its files have beside any other
    "adapter": "engine", "attention": "engine", "compat": "catalogue", "diagnostics": "seeing", "encoders/face": "faces",
    "inputs": "inputs", "presets": "faces", "sampling": "engine", "server/test_browser.py": "browser", "tools": "tool",
    "tools/campaign": "campaign", "tools/test_gpu.py": "gpu", "tools/test_verify.py": "gpu",
    "training": "training", "trust": "trust",
}  # fmt: skip


def marks(nodes: list[ast.expr]) -> set[str]:
    """The names behind `pytest.mark.`"""
    found = [one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Attribute)]
    return {one.attr for one in found if isinstance(one.value, ast.Attribute) and one.value.attr == "mark"}


def of_file(tree: ast.Module) -> set[str]:
    """The markers of all tests of a file."""
    return marks(
        [node.value for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    )


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_has_its_rooms_marker(file):
    """And at least one."""
    found = of_file(ast.parse((TESTS / file).read_text(encoding="utf-8")))
    assert found
    assert {marker for room, marker in OF_A_ROOM.items() if file.is_relative_to(room)} <= found


@pytest.mark.parametrize("file", FILES, ids=str)
def test_whatever_starts_a_server_says_so(file):
    """A test that starts one of its own has the marker; one that takes the shared one gets it from conftest.py."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    for node in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        if any(isinstance(one, ast.Call) and ast.unparse(one.func) == "ComfyServer" for one in ast.walk(node)):
            assert "server" in of_file(tree) | marks(node.decorator_list), f"{node.name} wants @pytest.mark.server"
