"""Workers as actors of Ray: it places them (a GPU each, where there are GPUs), starts them again when they die, and repeats
what they were doing.
"""

import os
import sys
from dataclasses import asdict
from typing import Any

from ..environment import ROOT
from ..mcp_server.refusal import Refused, short
from .crew import Answer
from .outcome import Gone
from .worker import Setup

MISSING = "dev.py campaign needs the package ray: pip install -r tools/campaign/requirements.txt; or say --alone"
STORE = 100 * 2**20  # bytes of Ray's object store on this machine: references and finished images pass through it
OTHER_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # by its name; "0" keeps Ray to 127.0.0.1 on every system
RESTARTS = 3  # of a worker that dies
STOPPING = 15  # seconds that servers have to end by themselves
STARTING = 300  # seconds that a worker may take besides its work


class Actor:
    """The shell of a `Worker` in another process, which gets its code from the repository on its own machine.

    Ray carries this class by value: it must not name anything of this module.
    """

    def __init__(self, root: str, number: int, setup: dict[str, Any], threads: str | None):
        import os
        import sys

        sys.path.insert(0, f"{root}/tools")
        from loading import load_pack  # pyright: ignore[reportMissingImports] - in tools/, as tools/run.py has it

        load_pack()
        sys.path.pop(0)
        from pack.tools.campaign.worker import Setup, Worker

        os.environ.pop("OMP_NUM_THREADS", None)  # Ray's own choice: images are those of a server without Ray
        os.environ.update({"OMP_NUM_THREADS": threads} if threads else {})
        self._worker = Worker(number, Setup(**setup))

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """One call of the worker."""
        return getattr(self._worker, name)(*arguments)


class OnRay:
    """Actors on a cluster: one by its address, or one of this machine alone."""

    def __init__(self, setup: Setup, count: int | None, address: str | None):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not address:
            os.environ[OTHER_MACHINES] = "0"
        try:
            import ray  # reads the environment while it is imported
        except ModuleNotFoundError as error:
            raise Refused(MISSING) from error
        self._ray, self._limit = ray, 2 * setup.limit + STARTING
        _start(ray, count, address)
        gpus = int(ray.cluster_resources().get("GPU", 0))
        room = gpus or int(ray.cluster_resources().get("CPU", 1))
        if (count := count or gpus or 1) > room:
            self.close()
            raise Refused(f"{count} workers are asked for, the cluster has room for {room}")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        kind = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_restarts=RESTARTS, max_task_retries=RESTARTS)(
            Actor
        )
        given = (str(ROOT), asdict(setup), os.environ.get("OMP_NUM_THREADS"))
        self._actors = {number: kind.remote(given[0], number, *given[1:]) for number in range(1, count + 1)}
        self._running: dict[Any, int] = {}

    @property
    def workers(self) -> list[int]:
        """Those that did not end for good."""
        return list(self._actors)

    def give(self, worker: int, call: str, *arguments: Any) -> None:
        """Sends the call."""
        self._running[self._actors[worker].call.remote(call, arguments)] = worker

    def answer(self) -> tuple[int, Answer]:
        """The next answer; of a worker that is beyond Ray's help it is `Gone`."""
        ready, waiting = self._ray.wait(list(self._running), num_returns=1, timeout=self._limit)
        if not ready:
            return self._gone(waiting[0], f"it was silent for {self._limit:.0f} s")
        try:
            found = self._ray.get(ready[0])
        except self._ray.exceptions.RayError as error:
            return self._gone(ready[0], short(error))
        return self._running.pop(ready[0]), found

    def close(self) -> None:
        """Ends all actors; their servers end with them."""
        actors = list(getattr(self, "_actors", {}).values())
        stopping = [actor.call.remote("stop", ()) for actor in actors]
        if stopping:
            self._ray.wait(stopping, num_returns=len(stopping), timeout=STOPPING)
        for actor in actors:
            self._ray.kill(actor)
        self._ray.shutdown()

    def _gone(self, running: Any, problem: str) -> tuple[int, Gone]:
        worker = self._running.pop(running)
        self._ray.kill(self._actors.pop(worker))
        return worker, Gone(problem)


def _start(ray: Any, count: int | None, address: str | None) -> None:
    """Joins the cluster, or starts one that listens to this machine alone."""
    quiet = {"logging_level": "error", "log_to_driver": False}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            options: dict[str, Any] = {"num_cpus": count} if count else {}
            options |= {"include_dashboard": False, "object_store_memory": STORE}
            ray.init(address="local", **options, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = short(address) if address else "on this machine"
        raise Refused(f"no cluster of Ray answers {where}: {short(error)}") from error
