"""Imports flow one way: who may import whom, read from the source."""

import ast
from pathlib import Path

import pytest
from pack.tools.docs.rooms_picture import imported_modules, room_of

pytestmark = pytest.mark.trust

ROOT = Path(__file__).parents[1]

# each room, and the rooms it may import from; a room is a folder or a file of ipadapter_core, or a top-level folder
ROOMS = {
    "limits": set(),
    "quoting": {"limits"},
    "errors": {"quoting"},
    "warn_once": set(),
    "inputs": {"errors", "images", "limits", "quoting"},
    "import_name": set(),
    "attention": set(),
    "images": {"errors", "limits"},
    "host": {"checkpoint"},
    "masks": set(),
    "weights": {"errors", "limits", "quoting"},
    "checkpoint": {"errors", "limits", "quoting"},
    "prompt": {"checkpoint", "errors", "limits", "masks", "quoting", "weights"},
    "drawing": {"errors", "weights"},
    "adapter": {"attention", "checkpoint", "errors", "host", "prompt", "quoting"},
    "sampling": {"adapter", "attention", "checkpoint", "errors", "masks", "prompt", "warn_once", "weights"},
    "encoders": {"checkpoint", "errors", "host", "images", "limits", "quoting", "prompt", "warn_once"},
    "patchers": {"adapter", "attention", "checkpoint", "errors", "host", "masks", "prompt", "sampling", "warn_once",
                 "weights"},
    "presets": {"adapter", "checkpoint", "encoders", "errors", "patchers", "quoting"},
    "diagnostics": {"adapter", "attention", "drawing", "encoders", "errors", "host", "limits", "masks", "patchers", "prompt",
                    "quoting", "sampling", "weights"},
    "training": {"adapter", "attention", "checkpoint", "patchers", "sampling"},
    "compat": {"adapter", "checkpoint", "encoders", "errors", "host", "images", "masks", "patchers", "prompt",
               "sampling", "weights"},
    "api": {"adapter", "encoders", "errors", "images", "inputs", "patchers", "prompt", "sampling", "weights"},
    "nodes": {"ipadapter_core"},
}  # fmt: skip


def sources():
    files = [*(ROOT / "ipadapter_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]
    return [file for file in files if file != ROOT / "ipadapter_core" / "__init__.py"]


def imported_rooms(file: Path) -> set[str]:
    """The rooms that a file's relative imports lead to; for a node all of the core is one."""
    room = room_of(file.relative_to(ROOT).parts)
    found = {parts[0] if room == "nodes" else room_of(parts) for parts in imported_modules(file)}
    return found - {room}


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_flow_one_way(file):
    """A file imports only from the rooms that its own room may know."""
    room = room_of(file.relative_to(ROOT).parts)
    assert room in ROOMS, f"{room} is a new room: say in ROOMS what it may import"
    assert imported_rooms(file) <= ROOMS[room]


def test_the_map_has_no_circle():
    """Walking the map always ends."""

    def depth(room: str, above: tuple[str, ...] = ()) -> int:
        assert room not in above, f"{room} leads back to itself by {above}"
        return 1 + max((depth(next_room, (*above, room)) for next_room in ROOMS.get(room, ())), default=0)

    assert max(depth(room) for room in ROOMS) <= 9


def test_the_pack_loads_without_comfyui():
    """Nothing is imported when the root package is."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)


def outsiders() -> list[Path]:
    """Tests and tools: nobody imports a test, whatever it has to offer belongs to tools/miniature or tests/oracles."""
    return [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]


@pytest.mark.parametrize("file", outsiders(), ids=lambda file: str(file.relative_to(ROOT)))
def test_nobody_imports_a_test(file):
    """Neither from a module of tests nor by its name; tools import nothing of tests at all."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            assert not any(name.startswith("test_") for name in names if "tests" in names or node.level), ast.unparse(
                node
            )
            assert "tools" not in file.relative_to(ROOT).parts[:1] or "tests" not in (node.module or "").split(".")
