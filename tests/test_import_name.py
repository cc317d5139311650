"""One import name: a module is loaded once, has both names, and its values travel under the package's own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[1]
START = """
import pickle, sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
root, name, late = sys.argv[1:]
def load(name):
    spec = spec_from_file_location(name, root + "/__init__.py", submodule_search_locations=[root])
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    import_module(name + ".ipadapter_core.import_name").publish()
load(name)
assert late not in sys.modules
"""
ENDINGS = {
    "by the package's name": "import_module(late)",
    "by the folder's name": "import_module(name + '.' + late)",
    "by both": "import_module(late); import_module(name + '.' + late)",
    "by both, the folder's first": "import_module(name + '.' + late); import_module(late)",
    "by a relative import": "exec('from . import ' + late.rpartition('.')[2], "
    "{'__package__': name + '.' + late.rpartition('.')[0], '__name__': 'a'})",
}
CHECK = """
one, other = sys.modules[late], sys.modules[name + "." + late]
assert one is other and one.__spec__.name in (late, name + "." + late), (one, other)
kinds = [kind for kind in vars(one).values() if isinstance(kind, type) and kind.__module__.endswith(late)]
assert kinds and all(kind.__module__ == late for kind in kinds), kinds
assert pickle.loads(pickle.dumps(kinds[0])) is kinds[0] and late.encode() in pickle.dumps(kinds[0])
print("one module")
"""
ANOTHER_COPY = """
load("/elsewhere/a copy")
import_module("/elsewhere/a copy." + late)
import_module(late)
assert sys.modules[late] is sys.modules[name + "." + late]
assert sys.modules[late] is not sys.modules["/elsewhere/a copy." + late]
print("two copies")
"""


def run(program, late):
    """In a process that has loaded nothing of the pack."""
    command = [sys.executable, "-c", START + program, str(ROOT), "/somewhere/custom_nodes/renamed", late]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_module_that_is_imported_later_has_both_names(ending):
    """However it is asked for."""
    assert "one module" in run(ENDINGS[ending] + CHECK, "ipadapter_core.checkpoint.enums")


def test_another_copy_keeps_to_itself():
    """The first one that was published has the name."""
    assert "two copies" in run(ANOTHER_COPY, "ipadapter_core.checkpoint.enums")
