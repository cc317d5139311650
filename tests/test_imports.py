"""Imports flow one way: who may import whom, read from the source."""

import ast
from pathlib import Path

import pytest
from pack.tools.docs.rooms_picture import imported_modules, room_of

pytestmark = pytest.mark.trust

ROOT = Path(__file__).parents[1]

# single files that any room may import; each imports only those before it
GROUND = ("import_name", "limits", "warn_once", "quoting", "errors", "written_whole")
# each room, and the rooms it may import from: a folder or a file of ipadapter_core, or a top-level folder
ROOMS = {
    "attention": set(),
    "images": set(),
    "masks": set(),
    "checkpoint": set(),
    "weights": set(),
    "inputs": {"images"},
    "host": {"checkpoint"},
    "drawing": {"weights"},
    "prompt": {"checkpoint", "masks", "weights"},
    "adapter": {"attention", "checkpoint", "host", "prompt"},
    "encoders": {"checkpoint", "host", "images", "prompt"},
    "sampling": {"adapter", "attention", "checkpoint", "masks", "prompt", "weights"},
    "patchers": {"adapter", "attention", "checkpoint", "host", "masks", "prompt", "sampling", "weights"},
    "presets": {"adapter", "checkpoint", "encoders", "patchers"},
    "training": {"adapter", "checkpoint", "drawing", "encoders", "patchers", "prompt", "sampling", "weights"},
    "diagnostics": {"adapter", "attention", "drawing", "encoders", "host", "masks", "patchers", "prompt", "sampling",
                    "weights"},
    "compat": {"adapter", "checkpoint", "encoders", "host", "images", "masks", "patchers", "prompt", "sampling", "weights"},
    "api": {"adapter", "encoders", "images", "inputs", "patchers", "prompt", "sampling", "weights"},
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
    """A file imports only from the rooms that its own room may know, and from the ground, of which each knows those before."""
    room = room_of(file.relative_to(ROOT).parts)
    if room in GROUND:
        assert imported_rooms(file) <= set(GROUND[: GROUND.index(room)])
        return
    assert room in ROOMS, f"{room} is a new room: say in ROOMS what it may import"
    assert imported_rooms(file) <= ROOMS[room] | set(GROUND)


def test_the_map_has_no_circle():
    """Walking the map always ends."""

    def depth(room: str, above: tuple[str, ...] = ()) -> int:
        assert room not in above, f"{room} leads back to itself by {above}"
        return 1 + max((depth(next_room, (*above, room)) for next_room in ROOMS.get(room, ())), default=0)

    assert max(depth(room) for room in ROOMS) <= 7 and len(ROOMS) <= 20


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
