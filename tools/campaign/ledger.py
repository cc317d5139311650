"""A campaign's folder: images, each whole or not there, and a manifest with a line for each job."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from ..mcp_server import pixels
from ..mcp_server.refusal import Refused, short
from .jobs import Job
from .outcome import Inventory, Outcome, State
from .plan import Line

Entry = dict[str, Any]
PNG = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"  # how such a file begins and ends


class Ledger:
    """Reads and writes below one folder, which is one campaign's at a time; use it in a `with`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = FileLock(folder / ".lock")
        self._entries: dict[str, Entry] = {}  # by key

    def __enter__(self) -> "Ledger":
        try:
            (self.folder / "images").mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            for partial in (*self.folder.glob(".*.partial"), *self.folder.glob("images/.*.partial")):
                partial.unlink()
        except Timeout as error:
            raise Refused(f"another campaign works in {self.folder}: wait for it, or name another --out") from error
        except OSError as error:
            raise Refused(f"{self.folder} cannot be written: {short(error.strerror or error)}") from error
        self._entries = {entry["key"]: entry for entry in self._lines() if "key" in entry}
        self.finish([], [])  # without a line that a killed campaign left torn
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def state(self, job: Job) -> State | None:
        """What became of a job before; None where it is to be rendered."""
        entry = self._entries.get(job.key)
        if entry is None or entry["state"] not in (State.DONE, State.BROKEN):
            return None
        if entry["state"] == State.DONE and not (self.folder / "images" / job.name).is_file():
            return None
        return State(entry["state"])

    def entry(self, job: Job) -> Entry | None:
        """The manifest's line of a job."""
        return self._entries.get(job.key)

    def forget_broken(self, jobs: Iterable[Job]) -> None:
        """Has jobs that were broken tried once more."""
        for job in jobs:
            if self.state(job) is State.BROKEN:
                del self._entries[job.key]

    def agree(self, found: Inventory) -> None:
        """Notes what the campaign renders with. Raises `Refused` where its older images were made by something else."""
        file = self.folder / "made_with.json"
        said = {"versions": found.versions, "models": found.models}
        if file.is_file() and any(entry["state"] == State.DONE for entry in self._entries.values()):
            before = _object(file.read_text(encoding="utf-8"))
            for kind, now in said.items():
                then = before.get(kind, {})
                if changed := [name for name in now if name in then and then[name] != now[name]]:
                    name = changed[0]
                    raise Refused(
                        f"{self.folder} was made with {name} {then[name][:16]}, now it is {now[name][:16]}: name another --out"
                    )
            said = {kind: before.get(kind, {}) | now for kind, now in said.items()}
        self.keep("made_with.json", json.dumps(said, indent=1).encode())

    def record(self, job: Job, outcome: Outcome) -> Entry:
        """Keeps an image and its line. What cannot be kept, or is no image, is a lost job; nothing is half-written."""
        state, problem = outcome.state, outcome.problem
        if state is State.DONE:
            try:
                _check(outcome.image)
                self.keep(f"images/{job.name}", outcome.image)
            except Refused as error:
                state, problem = State.LOST, str(error)
        entry = _entry(job, outcome, state, problem)
        self._entries[job.key] = entry
        try:
            self._append(entry)
        except OSError as error:
            reason = f"the manifest cannot be written: {short(error.strerror or error)}"
            self._entries[job.key] = entry | {"state": State.LOST, "problem": reason}
        return self._entries[job.key]

    def finish(self, jobs: Sequence[Job], refused: Sequence[Entry]) -> None:
        """Writes the manifest anew: the plan's jobs in their order, then what was refused, then jobs of other plans."""
        mine = [self._entries[job.key] for job in jobs if job.key in self._entries]
        keys = {entry["key"] for entry in mine}
        lines = [*mine, *refused, *(entry for key, entry in self._entries.items() if key not in keys)]
        self.keep("manifest.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines).encode())

    def keep(self, name: str, data: bytes) -> None:
        """Writes a file below the folder, whole or not at all. Raises `Refused` where it cannot."""
        file = self.folder / name
        partial = file.with_name(f".{uuid4().hex}.partial")
        try:
            partial.write_bytes(data)
            os.replace(partial, file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise Refused(f"{file} cannot be written: {short(error.strerror or error)}") from error

    def _append(self, entry: Entry) -> None:
        file = self.folder / "manifest.jsonl"
        before = file.stat().st_size if file.is_file() else 0
        try:
            with file.open("ab") as stream:
                stream.write(f"{json.dumps(entry)}\n".encode())
        except OSError:
            os.truncate(file, before)
            raise

    def _lines(self) -> list[Entry]:
        file = self.folder / "manifest.jsonl"
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        return [entry for entry in map(_object, text.splitlines()) if "state" in entry]


def _check(data: bytes) -> None:
    """Raises `Refused` for what is no PNG, or half of one; its pixels may all be there when its end is not."""
    pixels.rewritten(data, "ComfyUI's image", 64)
    if not (data.startswith(PNG[0]) and data.endswith(PNG[1])):
        raise Refused("ComfyUI's image is no whole PNG: the workflow's Picture is a Save Image node")


def _object(text: str) -> Entry:
    """A JSON object; an empty one for a line that a killed campaign left torn."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _entry(job: Job, outcome: Outcome, state: State, problem: str) -> Entry:
    line: Line = job.line
    return {
        "key": job.key,
        "state": state.value,
        "file": f"images/{job.name}" if state is State.DONE else "",
        "reference": job.reference.file.name,
        "prompt": line.prompt,
        "weight": line.weight,
        "seed": line.seed,
        "purpose": line.purpose,
        "size": line.size,
        "scores": outcome.scores,
        "seconds": round(outcome.seconds, 2),
        "worker": outcome.worker,
        "problem": problem,
    }
