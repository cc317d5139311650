"""The jobs that nobody took yet. Those of one reference stay with one worker, so that its ComfyUI encodes it once."""

from collections import deque
from collections.abc import Iterable

from .jobs import Job


class JobQueue:
    """Jobs in the plan's order, by reference."""

    def __init__(self, jobs: Iterable[Job]):
        self._groups: dict[str, deque[Job]] = {}
        self._held: dict[int, str] = {}  # the reference that each worker is at
        for job in jobs:
            self._groups.setdefault(job.reference.digest, deque()).append(job)

    @property
    def left(self) -> int:
        """How many nobody took."""
        return sum(map(len, self._groups.values()))

    def take(self, worker: int) -> Job | None:
        """The next job of the worker's reference; else a reference that nobody is at; else the end of the longest one."""
        mine = self._held.get(worker)
        if mine is not None and self._groups[mine]:
            return self._groups[mine].popleft()
        others = {held for number, held in self._held.items() if number != worker}
        left = [name for name, group in self._groups.items() if group]
        if free := next((name for name in left if name not in others), None):
            self._held[worker] = free
            return self._groups[free].popleft()
        return self._groups[max(left, key=lambda name: len(self._groups[name]))].pop() if left else None

    def put_back(self, job: Job) -> None:
        """A job whose worker is gone."""
        self._groups[job.reference.digest].appendleft(job)

    def leave(self, worker: int) -> None:
        """The worker is gone; others may have its reference."""
        self._held.pop(worker, None)
