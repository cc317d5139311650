"""Who works: one server in this process, or actors of Ray. Both are given calls of `Worker` and answer one at a time."""

from collections import deque
from typing import Any, Protocol

from .outcome import Gone, Inventory, Outcome
from .worker import Setup, Worker

Answer = Inventory | Outcome | Gone


class Crew(Protocol):
    """Workers by number."""

    @property
    def workers(self) -> list[int]:
        """Those that can be given something."""
        ...

    def give(self, worker: int, call: str, *arguments: Any) -> None:
        """Has a worker do one call of `Worker`."""
        ...

    def answer(self) -> tuple[int, Answer]:
        """Waits for the next answer of anybody who was given something."""
        ...

    def close(self) -> None:
        """Ends every worker, and its server."""
        ...


class Alone:
    """One worker, here."""

    def __init__(self, setup: Setup):
        self.workers = [1]
        self._worker = Worker(1, setup)
        self._given: deque[tuple[str, tuple[Any, ...]]] = deque()

    def give(self, worker: int, call: str, *arguments: Any) -> None:
        """Keeps the call until its answer is wanted."""
        self._given.append((call, arguments))

    def answer(self) -> tuple[int, Answer]:
        """Does the call."""
        call, arguments = self._given.popleft()
        return 1, getattr(self._worker, call)(*arguments)

    def close(self) -> None:
        """Ends the server."""
        self._worker.stop()
