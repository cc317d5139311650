"""Another frontend: fetched once, checked, unpacked in one step, and served by the servers that our scripts start."""

import hashlib
import zipfile
from pathlib import Path

import pytest
from pack.tools import frontend
from pack.tools.comfyui.server import ComfyServer
from pack.tools.environment import Environment

pytestmark = pytest.mark.tool


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Wheels that pip would bring; the list says how often."""
    wheel = tmp_path / "wheel.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("comfyui_frontend_package/static/index.html", "<html>")
        packed.writestr("comfyui_frontend_package/__init__.py", "")
    asked = []

    def download(version, _, folder):
        asked.append(version)
        return Path(folder, "wheel.whl").write_bytes(wheel.read_bytes()) and Path(folder, "wheel.whl")

    monkeypatch.setattr(frontend, "_download", download)
    monkeypatch.setattr(frontend, "FRONTENDS", {"9.9.9": hashlib.sha256(wheel.read_bytes()).hexdigest()})
    return asked


def test_a_frontend_is_fetched_once(fetched, tmp_path):
    """Its files for the browser and nothing else; an interrupted attempt is done over."""
    root = tmp_path / "frontend"
    (root / "9.9.9.partial").mkdir(parents=True)
    folder = frontend.frontend_folder("9.9.9", Path("python"), root)
    assert [path.name for path in folder.iterdir()] == ["index.html"] and list(root.iterdir()) == [folder]
    assert frontend.frontend_folder("9.9.9", Path("python"), root) == folder and fetched == ["9.9.9"]


def test_a_changed_frontend_is_not_unpacked(fetched, tmp_path, monkeypatch):
    """The checksum is pinned, and so are the versions."""
    with pytest.raises(SystemExit, match=r"unknown version, choose one of 9\.9\.9"):
        frontend.frontend_folder("1.0.0", Path("python"), tmp_path)
    monkeypatch.setattr(frontend, "FRONTENDS", {"9.9.9": "0" * 64})
    with pytest.raises(SystemExit, match="has checksum"):
        frontend.frontend_folder("9.9.9", Path("python"), tmp_path / "frontend")
    assert not (tmp_path / "frontend" / "9.9.9").exists()


@pytest.mark.server
def test_a_server_is_told_of_it(tmp_path, monkeypatch):
    """Through the process environment that `dev.py` gives to its commands; without one ComfyUI serves its own."""
    plain = Environment(Path("python"), tmp_path, "0.30.0")
    other = Environment(Path("python"), tmp_path, "0.30.0", tmp_path / "9.9.9")
    monkeypatch.delenv(frontend.VARIABLE, raising=False)
    told = [ComfyServer(Path("python"), tmp_path, environment=one.variables()).command() for one in (plain, other)]
    assert "--front-end-root" not in told[0]
    assert told[1][told[1].index("--front-end-root") + 1] == str(tmp_path / "9.9.9")
