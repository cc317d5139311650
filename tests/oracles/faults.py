"""Faults at every place where our code allocates: found by watching a run, and raised there one by one."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import comfy.model_management
import comfy.ops

ROOT = Path(__file__).resolve().parents[2]
OURS = (str(ROOT / "ipadapter_core"), str(ROOT / "nodes"))
TORCH = str(Path(torch.__file__).parent)
BETWEEN = (TORCH, __file__, "<", comfy.ops.__file__)  # a layer of ours calls ComfyUI's operations, these call torch

Site = tuple[str, int]


class OutOfMemory(torch.cuda.OutOfMemoryError):
    """As a GPU says it."""


class OutOfHostMemory(MemoryError):
    """As the host says it."""


class Interrupt(comfy.model_management.InterruptProcessingException):
    """As the button says it."""


FAULTS = (OutOfMemory, OutOfHostMemory, Interrupt)


class Allocations(TorchDispatchMode):
    """Notes where our code makes new tensors; raises `fault` at the `at`-th of them."""

    def __init__(self, at: int = -1, fault: type[BaseException] = OutOfMemory):
        super().__init__()
        self.at, self.fault = at, fault
        self.sites: list[Site] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Before the operation, as an allocator fails."""
        if all(output.alias_info is None for output in function._schema.returns):
            site = _site()
            if site is not None:
                self.sites.append(site)
                if len(self.sites) - 1 == self.at:
                    raise self.fault(f"injected at {site}")
        return function(*args, **(kwargs or {}))


def _site() -> Site | None:
    """The line of ours that asks for memory; None where it is ComfyUI's or a test's."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(BETWEEN):
        frame = frame.f_back
    name = "" if frame is None else frame.f_code.co_filename
    return (str(Path(name).relative_to(ROOT)), frame.f_lineno) if frame and name.startswith(OURS) else None


def allocations(run: Callable[[], Any]) -> list[Site]:
    """Where our code allocates in a run, in order."""
    with Allocations() as seen:
        run()
    return seen.sites


def first_and_last(sites: list[Site]) -> list[int]:
    """The places in a run at which each line allocates for the first and for the last time."""
    last = {site: place for place, site in enumerate(sites)}
    first = {site: place for place, site in reversed(list(enumerate(sites)))}
    return sorted({*first.values(), *last.values()})
