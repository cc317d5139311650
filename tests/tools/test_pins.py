"""The constraints files: one for each ComfyUI that dev.py knows, with every release that we ask for and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pack.tools import pins
from pack.tools.environment import CONSTRAINTS, REQUIREMENTS, SOURCES

pytestmark = pytest.mark.tool

PIN = re.compile(r"[a-z0-9][a-z0-9_.-]*==[a-z0-9.!+]+( ; [a-zA-Z0-9_.'()<>=!* ]+)?")


def lines(file: Path) -> list[str]:
    """What a file says, without comments."""
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def releases(file: Path) -> set[tuple[str, str]]:
    """Name and release of every exact pin."""
    found = (line.split(";")[0].split("==") for line in lines(file) if "==" in line.split(";")[0])
    return {(name.split("[")[0].strip(), release.strip()) for name, release in found}


def test_each_version_of_comfyui_has_a_file():
    """And no other file lies there."""
    assert {file.stem for file in CONSTRAINTS.iterdir()} == set(SOURCES)


@pytest.mark.parametrize("version", SOURCES)
def test_a_file_names_packages_and_releases_alone(version):
    """No index, no address, no path, no option: it is right on every machine."""
    file = CONSTRAINTS / f"{version}.txt"
    assert [line for line in lines(file) if not PIN.fullmatch(line)] == []
    assert file.read_text(encoding="utf-8").count("#") == 1  # the header


@pytest.mark.parametrize("version", SOURCES)
def test_what_we_pin_ourselves_is_pinned_alike(version):
    """A changed tools/requirements.txt wants `python3 dev.py pins`."""
    assert releases(REQUIREMENTS) - releases(CONSTRAINTS / f"{version}.txt") == set()


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """`uv` replaced by a writer of what it would write; notes each command and what lay in the output file before."""
    noted = []

    def run(command, **_):
        output = Path(command[command.index("-o") + 1])
        noted.append((command, output.read_text() if output.exists() else None))
        output.write_text("# a comment\none==1.0\ntwo==2.0 ; sys_platform == 'win32'\n")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(pins.subprocess, "run", run)
    monkeypatch.setattr(pins, "CONSTRAINTS", tmp_path / "constraints")
    monkeypatch.setattr(pins, "SOURCES", {"0.30.0": None})
    monkeypatch.setattr(pins, "comfyui_tree", lambda version, python: tmp_path / version)
    return noted


def test_old_pins_are_kept_until_asked(compiled, tmp_path):
    """uv sees the old file, and is told to upgrade only on demand; comments are ours alone."""
    pins.write_pins(Path(sys.executable))
    pins.write_pins(Path(sys.executable), upgrade=True)
    (first, nothing), (second, before) = compiled
    assert nothing is None and "one==1.0" in before and "--upgrade" not in first and "--upgrade" in second
    text = (tmp_path / "constraints" / "0.30.0.txt").read_text()
    assert text == pins.HEADER.format(version="0.30.0") + "one==1.0\ntwo==2.0 ; sys_platform == 'win32'\n"


def test_what_does_not_fit_is_said(compiled, monkeypatch):
    """One sentence, and no file is left half-written."""
    monkeypatch.setattr(pins.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    with pytest.raises(SystemExit, match="no set of packages fits"):
        pins.write_pins(Path(sys.executable))
    assert not list(pins.CONSTRAINTS.iterdir())
