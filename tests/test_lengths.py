"""Files and functions stay short."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.trust

ROOT = Path(__file__).parents[1]
FOLDERS = ("demo", "ipadapter_core", "nodes", "tests", "tools")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
FILE, FUNCTION = 250, 40  # lines at most
TABLES = ("define_schema",)  # functions that are tables: a schema has a row for each input, and nothing else


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    """Longer ones are split by what they are about."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in TABLES:
            assert node.end_lineno - node.lineno < FUNCTION, (
                f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
            )
