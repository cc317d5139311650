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
import anyio
import anyio.to_thread

from ..comfyui.client import ComfyClient, GraphError, Prompt
from .answers import Made, Scores, State
from .refusal import Refused, short

T = TypeVar("T")
Report = Callable[[float, float], Awaitable[None]]  # how much is done, of how much
Finish = Callable[[str, dict[str, Any]], Awaitable[Made | Scores | None]]  # keeps what a graph put out, under a name
MOST_JOBS = 100  # remembered; older ones are forgotten, their images stay
POLL = 0.5  # seconds
WAIT = 50  # seconds: hosts give up after 60
LEAST = 20  # seconds that ComfyUI has for an answer even where nothing is waited for


@dataclass
class Run:
    """One graph of a job."""

    graph: Prompt
    finish: Finish
    queued: str = ""  # the id that ComfyUI knows it by
    done: bool = False
    made: Made | Scores | None = None  # its image or scores; a character has neither
    problem: str = ""
    share: float = 0  # how much of its sampling is done, 0 to 1

    @property
    def over(self) -> bool:
        return self.done or bool(self.problem)


@dataclass
class Job:
    """Graphs that were asked for together."""

    runs: list[Run]
    sweep: bool = False
    character: str = ""  # which it keeps, where it makes no images
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
        return "done" if any(run.done for run in self.runs) else "failed"


class Jobs:
    """Queues jobs with one ComfyUI, and knows what became of them."""

    def __init__(self, client: ComfyClient):
        self.client = client
        self._known: dict[str, Job] = {}

    def job(self, name: str) -> Job:
        """A job by its id."""
        if name not in self._known:
            raise Refused(f"there is no job {short(name)!r} since this server started")
        return self._known[name]

    async def ask(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls ComfyUI beside the event loop; what goes wrong there, or takes too long, is one sentence."""
        try:
            with anyio.fail_after(WAIT):
                return await _beside(function, *arguments)
        except GraphError as error:
            raise Refused(f"ComfyUI refused the graph: {short(error)}") from error
        except urllib.error.HTTPError as error:
            raise Refused(f"ComfyUI answered {error.code} to {short(error.url)}") from error
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            reason = short(getattr(error, "reason", error)) or "no answer in time"
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
                outputs = await _beside(self.client.outputs, run.queued)
            except GraphError as error:
                run.problem = short(error)
                continue
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                outputs = await self.ask(self.client.outputs, run.queued)
            if outputs is not None:
                await self._finish(run, f"{job.name}-{index}", outputs)

    async def _finish(self, run: Run, name: str, outputs: dict[str, Any]) -> None:
        try:
            run.made = await run.finish(name, outputs)
            run.done = True
        except (LookupError, TypeError, ValueError) as error:
            run.problem = f"the workflow's titled nodes did not show what docs/api.md says ({short(repr(error))})"

    async def wait(self, job: Job, seconds: float, report: Report) -> None:
        """Until the job is over or the time is; the socket of ComfyUI says how far it is in between."""
        socket = asyncio.create_task(self._listen(job))
        try:
            with anyio.move_on_after(max(seconds, LEAST)):
                await self._polled(job, seconds, report)
        finally:
            socket.cancel()
            with suppress(asyncio.CancelledError):
                await socket

    async def _polled(self, job: Job, seconds: float, report: Report) -> None:
        end = anyio.current_time() + seconds
        while True:
            await self.look(job)
            done = sum(1.0 if run.over else run.share for run in job.runs)
            await report(done, len(job.runs))
            left = end - anyio.current_time()
            if job.state != "running" or left <= 0:
                return
            await anyio.sleep(min(POLL, left))

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


async def _beside(function: Callable[..., T], *arguments: Any) -> T:
    """Calls a function in a thread, which is left to itself when the time is over."""
    return await anyio.to_thread.run_sync(functools.partial(function, *arguments), abandon_on_cancel=True)
