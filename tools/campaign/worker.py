"""A worker: one ComfyUI server of its own, which makes one image after the other. No Ray here, and nothing heavy."""

import http.client
import os
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..comfyui import titled
from ..comfyui.client import ComfyClient, GraphError, Prompt
from ..comfyui.server import ComfyServer, Mounts, ServerError
from ..environment import ROOT, Environment
from ..mcp_server.refusal import short
from .inventory import digest, model_digests, pack_digest
from .outcome import Inventory, Outcome, State

POLL = 0.05  # seconds
FULL = "No space left on device"


@dataclass(frozen=True)
class Setup:
    """What every worker starts its server with; paths are those of its own machine."""

    python: str
    comfyui: str
    models: tuple[str, ...] = ()  # folders with a folder for each kind of model, as ComfyUI's own `models`
    nodes: tuple[str, ...] = ()  # further custom nodes
    limit: float = 1800  # seconds that an image may take


class Hung(Exception):
    """An image took longer than it may."""


class Worker:
    """Renders jobs; what goes wrong is an `Outcome`, never an exception of ComfyUI's."""

    def __init__(self, number: int, setup: Setup):
        self.name, self.setup = f"{socket.gethostname()}/{number}", setup
        self._server: ComfyServer | None = None
        self._uploaded: set[str] = set()
        self._inventory: Inventory | None = None

    def look(self, files: list[str]) -> Inventory:
        """Starts the server and says what it renders with."""
        try:
            stats = self._client().get("/system_stats")
            system = stats["system"]
            versions = {
                "ComfyUI": str(system["comfyui_version"]),
                "PyTorch": str(system["pytorch_version"]),
                "pack": pack_digest(),
            }
            models = model_digests(files, self._model_folders())
            self._inventory = Inventory(self.name, versions, models, short(stats["devices"][0]["name"]))
        except (ServerError, OSError, http.client.HTTPException, ValueError, KeyError) as error:
            return Inventory(self.name, problem=short(error))
        return self._inventory

    def render(self, key: str, graph: Prompt, reference: tuple[str, bytes], files: list[str], expected: str) -> Outcome:
        """One image. A server that died or hangs is started anew, and the image tried once more.

        `reference` is the name that the graph knows it by, and a PNG; `expected` is what `digest` says of all workers.
        """
        found = self._inventory or self.look(files)  # a worker that was started again looks first
        if found.problem:
            return Outcome(key, State.LOST, self.name, problem=found.problem)
        if digest(found) != expected:
            return Outcome(key, State.UNFIT, self.name, problem="it came back with other models or versions")
        begin = time.monotonic()
        try:
            image, scores = self._twice(lambda: self._made(graph, *reference))
        except GraphError as error:
            state = State.LOST if FULL in str(error) else State.BROKEN
            return Outcome(key, state, self.name, time.monotonic() - begin, problem=short(error))
        except (ServerError, Hung, OSError, http.client.HTTPException, ValueError, KeyError, IndexError) as error:
            return Outcome(key, State.LOST, self.name, time.monotonic() - begin, problem=f"ComfyUI: {short(error)}")
        return Outcome(key, State.DONE, self.name, time.monotonic() - begin, image, scores)

    def stop(self) -> None:
        """Ends the server."""
        server, self._server = self._server, None
        self._uploaded.clear()
        if server:
            server.__exit__()

    def _twice(self, make: Callable[[], tuple[bytes, dict[str, Any]]]) -> tuple[bytes, dict[str, Any]]:
        try:
            return make()
        except (Hung, OSError, http.client.HTTPException):
            self.stop()  # dead, or as good as dead
            return make()

    def _made(self, graph: Prompt, name: str, png: bytes) -> tuple[bytes, dict[str, float | None]]:
        client = self._client()
        if name not in self._uploaded:
            with tempfile.TemporaryDirectory(prefix="ipadapter-core-") as folder:
                (Path(folder) / name).write_bytes(png)
                client.upload(Path(folder) / name)
            self._uploaded.add(name)
        outputs = self._waited(client, client.queue(graph))
        return client.picture(titled.image_entry(graph, outputs)), titled.scores(graph, outputs)

    def _waited(self, client: ComfyClient, queued: str) -> dict[str, Any]:
        end = time.monotonic() + self.setup.limit
        while time.monotonic() < end:
            if (outputs := client.outputs(queued)) is not None:
                return outputs
            time.sleep(POLL)
        raise Hung(f"the image was not done after {self.setup.limit:.0f} s")

    def _client(self) -> ComfyClient:
        """A client of the server, which is started where it is not there."""
        if self._server and not self._server.alive:
            self.stop()
        if self._server is None:
            python, comfyui = Path(self.setup.python), Path(os.environ.get("COMFYUI_PATH", self.setup.comfyui))
            server = ComfyServer(
                python,
                comfyui,
                mounts=Mounts(tuple(Path(folder) for folder in self.setup.nodes), self._kinds()),
                environment=Environment(python, comfyui, "").variables(),
            )
            self._server = server.__enter__()
        return ComfyClient(self._server.url)

    def _kinds(self) -> dict[str, Path]:
        folders = (kind for root in self.setup.models for kind in sorted(Path(root).iterdir()) if kind.is_dir())
        return {kind.name: kind for kind in folders}

    def _model_folders(self) -> list[Path]:
        demo = [ROOT / "demo" / "weights" / kind for kind in ("ipadapter", "loras")]
        return [*demo, *self._kinds().values()]
