"""Trying mutations: a copy of the tree, one file of it broken, and the tests that must notice in a fork of this process.

ComfyUI and the libraries are imported once and the pack anew in each fork, which is most of the time that a test takes.
"""

import importlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from ..environment import ROOT
from .mutation import Mutation

LEFT_OUT = shutil.ignore_patterns(".*", "output", "__pycache__")
SHARED = (  # imported before the forks; none of it starts a thread
    "diffusers.models.attention_processor", "transformers.models.clip.modeling_clip", "torchvision.transforms.functional",
    "comfy.sd", "comfy.samplers", "comfy.clip_vision", "comfy.lora", "comfy_api.latest", "folder_paths", "nodes", "execution",
)  # fmt: skip
OURS = ("pack", "loading", "conftest", "ipadapter_core")
FAILED = re.compile(r"^FAILED ", re.MULTILINE)


class Trial(NamedTuple):
    """Whether tests failed, whether all ran and passed, and pytest's last words."""

    failed: bool
    passed: bool
    said: str


def warm_up() -> None:
    """Imports what all forks share."""
    for name in SHARED:
        importlib.import_module(name)


def try_mutation(mutation: Mutation) -> Trial:
    """Runs the mutation's tests in a copy of the tree that is broken by it, up to the first that fails."""
    with copy_of_the_tree() as copy:
        broken = mutation.applied_to(mutation.source(copy))
        (copy / mutation.file).write_text(broken, encoding="utf-8", newline="\n")
        return run_tests(copy, mutation.tests)


def sound(tests: Sequence[str]) -> Trial:
    """Runs tests in a copy that is not broken: a test that fails there says nothing of a mutation."""
    with copy_of_the_tree() as copy:
        return run_tests(copy, tests)


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A copy of everything that tests need, gone at the end; the working tree is never touched."""
    with TemporaryDirectory(prefix="mutants") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        yield copy


def run_tests(copy: Path, tests: Sequence[str]) -> Trial:
    """Runs tests of a copy in a fork, in which the pack is that of the copy."""
    log = copy.parent / "log"
    child = os.fork()
    if child == 0:
        os._exit(_child(copy, tests, log))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = log.read_text(encoding="utf-8", errors="replace")
    said = "\n".join(text.splitlines()[-12:])
    return Trial(status == pytest.ExitCode.TESTS_FAILED and bool(FAILED.search(text)), status == 0, said)


def _child(copy: Path, tests: Sequence[str], log: Path) -> int:
    """Everything of the fork; it ends without the parent's clean-up."""
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(copy)
    sys.dont_write_bytecode = True
    sys.path[:] = [place for place in sys.path if not place.startswith(str(ROOT / "tools"))]
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "--tb=line", f"--rootdir={copy}", *tests])
    sys.stdout.flush()
    return int(code)
