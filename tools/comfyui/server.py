"""A real ComfyUI server with the pack mounted, for the demo, for `dev.py serve` and for the tests."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..frontend import VARIABLE as FRONTEND

ROOT = Path(__file__).resolve().parents[2]
TETHER = Path(__file__).with_name("tethered.py")
PACK, DEMO = "ipadapter-core", "ipadapter-core-demo"
NOT_MOUNTED = shutil.ignore_patterns(".venv*", ".comfyui", ".git", "output", "__pycache__")


class ServerError(RuntimeError):
    """ComfyUI did not start, or ended."""


class Mounts(NamedTuple):
    """What a server finds: further custom-node folders, model folders by kind, and the pack itself."""

    node_folders: tuple[Path, ...] = ()
    model_folders: dict[str, Path] = {}
    pack: Path = ROOT


class ComfyServer:
    """Starts `main.py` of a ComfyUI tree over a folder of its own, and stops it; it never outlives this process.

    What `mounts` names stands in its custom_nodes and model folders. Use it in a `with`; `url` answers once it is entered.
    """

    def __init__(
        self,
        python: Path,
        comfyui: Path,
        port: int | None = None,
        folder: Path | None = None,
        mounts: "Mounts | None" = None,
        options: Iterable[str] = (),
        environment: dict[str, str] | None = None,
    ):
        self.python, self.comfyui, self.options = python, comfyui, list(options)
        self.mounts = mounts or Mounts()
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="ipadapter-core-")
        self.folder = folder or Path(self._temporary.name)  # type: ignore[union-attr]
        self.environment = environment or dict(os.environ)
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "ComfyServer":
        self._mount()
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.comfyui,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process and self._process.stdin:
            self._process.stdin.close()
        if self._temporary:
            self._temporary.cleanup()

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """Blocks until the server ends by itself."""
        assert self._process
        return self._process.wait()

    def log_text(self) -> str:
        """Everything that the server printed so far."""
        return self.log.read_text(errors="replace")

    def command(self) -> list[str]:
        """What is started."""
        removed = str(self.folder) if self._temporary else ""  # should this process be killed
        command = [str(self.python), str(TETHER), removed, "main.py"]
        command += ["--port", str(self.port), "--base-directory", str(self.folder)]
        command += ["--extra-model-paths-config", str(self._model_paths())]
        command += ["--disable-api-nodes", "--disable-auto-launch"]
        command += ["--database-url", f"sqlite:///{self.folder / 'user' / 'comfyui.db'}"]
        command += [] if _has_gpu() else ["--cpu"]
        command += ["--front-end-root", self.environment[FRONTEND]] if FRONTEND in self.environment else []
        return [*command, *self.options]

    def _mount(self) -> None:
        nodes = self.folder / "custom_nodes"
        nodes.mkdir(parents=True, exist_ok=True)
        for name in ("input", "output", "user"):
            (self.folder / name).mkdir(exist_ok=True)
        pack = self.mounts.pack
        mounts = {PACK if pack == ROOT else pack.name: pack, DEMO: ROOT / "demo"}
        mounts |= {path.resolve().name: path.resolve() for path in self.mounts.node_folders}
        mounts = {name: target for name, target in mounts.items() if nodes / name != target}
        for name, target in mounts.items():
            place = nodes / name
            if place.is_symlink():
                place.unlink()
            shutil.rmtree(place, ignore_errors=True)
            try:
                place.symlink_to(target, target_is_directory=True)
            except OSError:  # Windows without the right to make links
                shutil.copytree(target, place, ignore=NOT_MOUNTED)

    def _model_paths(self) -> Path:
        file = self.folder / "model_paths.yaml"
        sections = {
            "demo_world": {kind: ROOT / "demo" / "weights" / kind for kind in ("ipadapter", "loras")},
            "given": self.mounts.model_folders,
        }
        file.write_text(
            json.dumps({name: _strings(paths) for name, paths in sections.items() if paths})
        )  # JSON is YAML
        return file

    def _wait_until_ready(self, seconds: float = 180) -> None:
        assert self._process
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise ServerError(f"ComfyUI ended with {self._process.returncode}; the end of its log:\n{self._tail()}")
            try:
                with urllib.request.urlopen(f"{self.url}/system_stats", timeout=5):
                    return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.2)
        raise ServerError(f"ComfyUI was not ready after {seconds:.0f} s; the end of its log:\n{self._tail()}")

    def _tail(self, lines: int = 30) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])


def _strings(paths: dict[str, Path]) -> dict[str, str]:
    return {kind: str(path) for kind, path in paths.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _has_gpu() -> bool:
    return (
        shutil.which("nvidia-smi") is not None and subprocess.run(["nvidia-smi"], capture_output=True).returncode == 0
    )
