"""The tools that read the code: ruff, its format and pyright in strict mode find nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.trust

ROOT = Path(__file__).parents[1]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A tool of the test environment, by this interpreter, at the root."""
    quiet = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}  # no question to the index for a newer one
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=quiet, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [("ruff", "check"), ("ruff", "format", "--check")], ids=" ".join)
def test_ruff_finds_nothing(command):
    """Neither rules nor format; `ruff check --fix` and `ruff format` mend most of it."""
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_finds_nothing():
    """In strict mode, over the core, the nodes and the stubs, as `pyproject.toml` has it."""
    done = run("pyright", "--outputjson", "--pythonpath", sys.executable)
    found = json.loads(done.stdout)
    said = [
        f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']}" for one in found["generalDiagnostics"]
    ]
    assert not said, "\n".join(said)
    assert found["summary"]["filesAnalyzed"] > 200, "the sources were not read"
    assert done.returncode == 0, done.stderr


def test_pyright_is_heeded_everywhere():
    """No file switches it off; each exception names its rule and gives a reason."""
    for path in [*(ROOT / "ipadapter_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            place = f"{path.relative_to(ROOT)}:{number}"
            assert "# type: ignore" not in line and "# pyright: basic" not in line, place
            if "# pyright:" in line:
                rule, _, reason = line.partition("# pyright: ignore[")[2].partition("]")
                assert rule and reason.strip(" -"), f"{place}: a rule in brackets and a reason after them"
