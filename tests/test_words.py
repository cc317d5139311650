"""Names and phrases that were given up do not come back."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.trust

ROOT = Path(__file__).parents[1]
# classes, functions and files: each said something else in every room, or nothing at all
NAMES = {
    "Attendance", "DEAF", "Drops", "Factor", "ImageBank", "Lesson", "Look", "Meaning", "ModelCall", "ModelParts", "Origin",
    "Part", "Pick", "Remembered", "Rows", "Scale", "Several", "Shelves", "Sides", "Spot", "Sum", "View", "Wanted", "Yardsticks",
    "attended", "chosen", "doubts", "effect", "encode_closely", "features_of_nothing", "fresh", "judge", "looked_at",
    "notice", "offers", "origin", "predecessor", "say_once",
}  # fmt: skip
# what a native speaker of the field would not say
PHRASES = (
    "shall", "begins to act", "stops to act", "to be steered by", "is drowned", "last one holds", "the same to read",
    "one picture of all", "on its way to", "what is not given", "neutral picture", "what it holds itself to",
    "the very picture", "small things arrive", "nodes speak", "the way over", "none that anybody", "directions truly",
    "said instead of computed", "of no consequence", "surest first", "weigh reference", "watch ip-adapter", "score pictures",
    "save with trace", "noise for negative image", "encode reference in detail",
)  # fmt: skip
PEOPLE_READ = ("*.md", "docs/**/*.md", "web/docs/*.md", "locales/**/*.json", "nodes/**/*.py", "ipadapter_core/**/*.py",
               "workflows/*.json", "subgraphs/*.json")  # fmt: skip
SOURCES = [path for room in ("ipadapter_core", "nodes") for path in sorted((ROOT / room).rglob("*.py"))]
TEXTS = sorted({path for pattern in PEOPLE_READ for path in ROOT.glob(pattern)} - {ROOT / "docs" / "testing.md"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_name_is_defined(path):
    """Neither a file nor a class or function in it is called by a name that was given up."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    defined = {node.name for node in ast.walk(tree) if isinstance(node, kinds)} | {path.stem}
    assert not defined & NAMES


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_phrase_is_read(path):
    """Tooltips, help pages, docs, errors and docstrings say it plainly."""
    text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8").lower())
    assert [one for one in PHRASES if re.search(rf"\b{re.escape(one)}\b", text)] == []
