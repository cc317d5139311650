"""Jobs: one image or a sweep, queued at once, waited for by polling and by ComfyUI's socket."""

import asyncio
import functools
import http.client
import json
import urllib.error
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp
import anyio.to_thread

from ..comfyui import titled
from ..comfyui.client import ComfyClient, GraphError, Prompt
from . import pixels
from .answers import Made, Scores, State
from .refusal import Refused, short
from .shelf import Shelf

T = TypeVar("T")
Report = Callable[[float, float], Awaitable[None]]  # how much is done, of how much
MOST_JOBS = 100  # remembered; older ones are forgotten, their images stay
POLL = 0.5  # seconds


@dataclass
class Run:
    """One graph of a job."""

    fill: titled.Fill
    graph: Prompt
    queued: str = ""  # the id that ComfyUI knows it by
    made: Made | None = None
    problem: str = ""
    share: float = 0  # how much of its sampling is done, 0 to 1

    @property
    def over(self) -> bool:
        return self.made is not None or bool(self.problem)


@dataclass
class Job:
    """Graphs that were asked for together."""

    runs: list[Run]
    sweep: bool = False
    sheet: str | None = None
    cancelled: bool = False
    name: str = field(default_factory=lambda: uuid4().hex[:12])

    @property
    def state(self) -> State:
        """Done when each graph is over and one came out at least."""
        if self.cancelled:
            return "cancelled"
        if not all(run.over for run in self.runs):
            return "running"
        return "done" if any(run.made for run in self.runs) else "failed"


class Jobs:
    """Queues jobs with one ComfyUI, and knows what became of them."""

    def __init__(self, client: ComfyClient, shelf: Shelf):
        self.client, self.shelf = client, shelf
        self._known: dict[str, Job] = {}

    def job(self, name: str) -> Job:
        """A job by its id."""
        if name not in self._known:
            raise Refused(f"there is no job {short(name)!r} since this server started")
        return self._known[name]

    async def ask(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls ComfyUI beside the event loop; what goes wrong there is one sentence."""
        try:
            return await anyio.to_thread.run_sync(functools.partial(function, *arguments))
        except GraphError as error:
            raise Refused(f"ComfyUI refused the graph: {short(error)}") from error
        except urllib.error.HTTPError as error:
            raise Refused(f"ComfyUI answered {error.code} to {short(error.url)}") from error
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            reason = short(getattr(error, "reason", error))
            raise Refused(f"no ComfyUI answers at {self.client.url} ({reason}): start it and ask again") from error

    async def start(self, job: Job) -> None:
        """Queues every graph of a job; none stays queued when one is refused."""
        try:
            for run in job.runs:
                run.queued = await self.ask(self.client.queue, run.graph, job.name)
        except Refused:
            with suppress(Refused):
                await self.ask(self.client.cancel, [run.queued for run in job.runs if run.queued])
            raise
        self._known[job.name] = job
        for old in list(self._known)[:-MOST_JOBS]:
            del self._known[old]

    async def look(self, job: Job) -> None:
        """Fetches what is finished."""
        for index, run in enumerate(job.runs):
            if run.over or job.cancelled:
                continue
            try:
                outputs = await anyio.to_thread.run_sync(self.client.outputs, run.queued)
            except GraphError as error:
                run.problem = short(error)
                continue
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                outputs = await self.ask(self.client.outputs, run.queued)
            if outputs is not None:
                run.made = await self._fetched(job, run, index, outputs)

    async def _fetched(self, job: Job, run: Run, index: int, outputs: dict[str, Any]) -> Made:
        data = await self.ask(self.client.picture, titled.image_entry(run.graph, outputs))
        file = self.shelf.keep_image(f"{job.name}-{index}", pixels.rewritten(data, "ComfyUI's image"))
        fill, scores = run.fill, Scores(**titled.scores(run.graph, outputs))
        return Made(image=str(file), weight=fill.weight, purpose=fill.purpose, seed=fill.seed, scores=scores)

    async def wait(self, job: Job, seconds: float, report: Report) -> None:
        """Until the job is over or the time is; the socket of ComfyUI says how far it is in between."""
        end = asyncio.get_running_loop().time() + seconds
        socket = asyncio.create_task(self._listen(job))
        try:
            while True:
                await self.look(job)
                done = sum(1.0 if run.over else run.share for run in job.runs)
                await report(done, len(job.runs))
                left = end - asyncio.get_running_loop().time()
                if job.state != "running" or left <= 0:
                    return
                await asyncio.sleep(min(POLL, left))
        finally:
            socket.cancel()
            with suppress(asyncio.CancelledError):
                await socket

    async def _listen(self, job: Job) -> None:
        """Notes each step; without a socket the polls alone say what is done."""
        by_id = {run.queued: run for run in job.runs}
        with suppress(aiohttp.ClientError, OSError, json.JSONDecodeError):
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"{self.client.url}/ws?clientId={job.name}") as socket,
            ):
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        continue
                    said = message.json()
                    if said.get("type") == "progress" and said["data"].get("prompt_id") in by_id:
                        by_id[said["data"]["prompt_id"]].share = said["data"]["value"] / max(1, said["data"]["max"])

    async def cancel(self, job: Job) -> None:
        """Takes what is left of it out of ComfyUI's queue."""
        left = [run.queued for run in job.runs if not run.over]
        await self.ask(self.client.cancel, left)
        job.cancelled = job.cancelled or bool(left)
