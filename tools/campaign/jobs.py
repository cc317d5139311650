"""Jobs: a workflow filled for one image, and its key, by which a second run knows what is there already."""

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..comfyui import titled
from ..comfyui.client import Prompt
from ..mcp_server import pixels
from ..mcp_server.refusal import Folders, Refused, short
from .plan import Line, Plan

CACHED = 8  # cleaned references that are held at a time


@dataclass(frozen=True)
class Reference:
    """A reference that was read and found good."""

    file: Path
    digest: str  # SHA-256 of the file's bytes

    @property
    def upload(self) -> str:
        """The name that workflows know it by on every server."""
        return f"{self.digest[:32]}.png"


@dataclass(frozen=True)
class Job:
    """One image to be made."""

    key: str
    line: Line
    reference: Reference
    graph: Prompt

    @property
    def name(self) -> str:
        """The image's file name: the reference's, made harmless, and the key."""
        return f"{_slug(self.line.reference)}-{self.key[:16]}.png"


def jobs_of(plan: Plan, folders: Folders) -> tuple[list[Job], list[dict[str, Any]]]:
    """A job for each different image, and what is wrong with references: (jobs, lines for the manifest)."""
    found: dict[str, Reference | str] = {}
    for path in dict.fromkeys(line.reference for line in plan.lines):
        try:
            found[path] = _read(path, folders)
        except Refused as error:
            found[path] = str(error)
    jobs: dict[str, Job] = {}
    for line in plan.lines:
        reference = found[line.reference]
        if isinstance(reference, Reference):
            job = _job(plan, line, reference)
            jobs.setdefault(job.key, job)
    refused = {path: said for path, said in found.items() if isinstance(said, str)}
    return list(jobs.values()), [
        {"state": "refused", "reference": short(Path(path).name), "problem": said} for path, said in refused.items()
    ]


def files_named(graphs: Iterable[Prompt]) -> list[str]:
    """The model files that workflows name."""
    values = (value for graph in graphs for node in graph.values() for value in node["inputs"].values())
    return sorted({value for value in values if isinstance(value, str) and MODEL_FILE.fullmatch(value)})


MODEL_FILE = re.compile(r"[^\0\n]{1,300}\.(safetensors|sft|ckpt|pt|pth|bin|gguf|onnx|ipadpt)", re.IGNORECASE)


@functools.lru_cache(CACHED)
def cleaned(reference: Reference) -> bytes:
    """The PNG of a reference that goes to servers. Raises `Refused` where the file changed since it was read."""
    if hashlib.sha256(_bytes(reference.file)).hexdigest() != reference.digest:
        raise Refused(f"{short(reference.file.name)!r} changed while the campaign ran: start it again")
    return pixels.reference(reference.file)


def _read(path: str, folders: Folders) -> Reference:
    file = folders.file(path)
    pixels.reference(file)
    return Reference(file, hashlib.sha256(_bytes(file)).hexdigest())


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refused(f"{short(file.name)!r} cannot be read: {short(error.strerror or error)}") from error


def _job(plan: Plan, line: Line, reference: Reference) -> Job:
    fill = titled.Fill((reference.upload,), line.prompt, line.weight, line.purpose, line.seed, line.size)
    try:
        graph = titled.filled(plan.graph, fill)
    except titled.TitleError as error:
        raise Refused(short(error)) from error
    except (KeyError, IndexError, TypeError) as error:
        raise Refused(f"the workflow's titled nodes lack an input or a link ({short(repr(error))})") from error
    said = json.dumps([graph, reference.digest], sort_keys=True, separators=(",", ":"))
    return Job(hashlib.sha256(said.encode()).hexdigest(), line, reference, graph)


def _slug(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", Path(path).stem.lower()).strip("-")[:40] or "image"
