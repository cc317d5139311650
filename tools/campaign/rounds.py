"""The rounds of a campaign: workers compared, then a job for whoever is free, until none is left."""

from collections.abc import Callable, Sequence
from typing import Any

from ..mcp_server.refusal import Refused
from .crew import Crew
from .inventory import agreeing, digest
from .job_queue import JobQueue
from .jobs import Job, cleaned, files_named
from .ledger import Ledger
from .outcome import Gone, Inventory, Outcome, State

Say = Callable[[str], None]
TRIES = 3  # workers that one job may lose before it is given up


class Rounds:
    """Gives jobs to a crew and keeps what comes back."""

    def __init__(self, crew: Crew, jobs: Sequence[Job], ledger: Ledger, say: Say):
        self._crew, self._ledger, self._say = crew, ledger, say
        self._files = files_named(job.graph for job in jobs)
        self._queue = JobQueue(jobs)
        self._at: dict[int, Job] = {}
        self._fit: list[int] = []
        self._expected = ""
        self._lost: dict[str, int] = {}  # how many workers each job lost

    def compare(self) -> None:
        """Starts all servers and keeps the workers that have the same. Raises `Refused` where none can render."""
        found: dict[int, Inventory] = {}
        for worker in self._crew.workers:
            self._crew.give(worker, "look", self._files)
        for _ in list(self._crew.workers):
            worker, answer = self._crew.answer()
            problem = answer.problem if isinstance(answer, Gone) else ""
            found[worker] = answer if isinstance(answer, Inventory) else Inventory(f"worker {worker}", problem=problem)
        chosen, said = agreeing([found[worker] for worker in sorted(found)])
        for sentence in said:
            self._say(sentence)
        if chosen is None:
            raise Refused("no worker can render: see above")
        self._expected = digest(chosen)
        self._fit = [number for number, one in found.items() if not one.problem and digest(one) == self._expected]
        self._ledger.agree(chosen)

    def run(self, done: Callable[[dict[str, Any]], None]) -> int:
        """Until every job has an answer or nobody is left; `done` hears of each. Returns how many got none."""
        for worker in self._fit:
            self._next(worker)
        while self._at:
            worker, answer = self._crew.answer()
            job = self._at.pop(worker)
            if isinstance(answer, Outcome) and answer.state is not State.UNFIT:
                done(self._ledger.record(job, answer))
                self._next(worker)
            else:
                self._left(worker, job, answer.problem, done)
        return self._queue.left

    def _next(self, worker: int) -> None:
        while (job := self._queue.take(worker)) is not None:
            try:
                reference = (job.reference.upload, cleaned(job.reference))
            except Refused as error:
                self._say(str(error))
                continue
            self._at[worker] = job
            self._crew.give(worker, "render", job.key, job.graph, reference, self._files, self._expected)
            return

    def _left(self, worker: int, job: Job, problem: str, done: Callable[[dict[str, Any]], None]) -> None:
        """A worker is gone: its job goes to another, unless it took several with it; whoever rests is woken."""
        self._say(f"worker {worker} is gone: {problem}")
        self._queue.leave(worker)
        self._fit.remove(worker)
        self._lost[job.key] = self._lost.get(job.key, 0) + 1
        if self._lost[job.key] >= TRIES:
            done(self._ledger.record(job, Outcome(job.key, State.LOST, f"worker {worker}", problem=problem)))
        else:
            self._queue.put_back(job)
        for resting in [one for one in self._fit if one not in self._at]:
            self._next(resting)
