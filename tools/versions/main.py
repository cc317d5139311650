"""`python3 dev.py versions`: the tests that need a live server, on each ComfyUI of tools/environment.py.

Each version gets its own `.venv-VERSION` (about 6 GB of packages, shared with the package manager's cache where the disk
can do that); with `--remove` it is deleted after its run.
"""

import argparse
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

from ..environment import DEFAULT_COMFYUI, ROOT, SOURCES

# by folder: tests of single parts import what only newer versions have
END_TO_END = (
    "tests/server",
    "tests/trust/test_faults_server.py",
    "tests/tools/test_soak.py",
    "-m",
    "server and not browser",
)
# slots and defaults of ComfyUI's own nodes, as the newest has them
NEWEST_ONLY = "test_graph_files_are_what_the_source_says"
# older than what we ask for: it lacks the hooks that FLUX needs, and our error says so
NOT_OFFERED = {"0.16.3": "FLUX"}


class Outcome(NamedTuple):
    """What pytest said of one version."""

    version: str
    passed: int
    failed: int
    seconds: float

    @property
    def right(self) -> bool:
        """Whether something ran, and nothing failed."""
        return self.passed > 0 and not self.failed


def main(argv: list[str]) -> int:
    """Runs the versions and prints a line of a Markdown table for each; 1 where a test failed."""
    parser = argparse.ArgumentParser(prog="dev.py versions", description=main.__doc__)
    parser.add_argument("--only", nargs="*", choices=SOURCES, default=list(SOURCES), metavar="VERSION")
    parser.add_argument("--remove", action="store_true", help="delete each version's packages after its run")
    arguments = parser.parse_args(argv)
    outcomes = [run(version, arguments.remove) for version in arguments.only]
    print("| ComfyUI | Python | passed | failed | seconds |\n| --- | --- | --- | --- | --- |")
    python = ".".join(map(str, sys.version_info[:2]))
    for one in outcomes:
        print(f"| {one.version} | {python} | {one.passed} | {one.failed} | {one.seconds:.0f} |")
    return 0 if all(one.right for one in outcomes) else 1


def run(version: str, remove: bool) -> Outcome:
    """The tests on one version, their output passed on."""
    command = [sys.executable, str(ROOT / "dev.py"), "--comfyui", version, "test", "-q", *END_TO_END, *chosen(version)]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(result.stdout, file=sys.stderr, flush=True)
    if remove and version != DEFAULT_COMFYUI:
        shutil.rmtree(ROOT / f".venv-{version}", ignore_errors=True)
    return outcome(version, result.stdout)


def chosen(version: str) -> list[str]:
    """The words for pytest that leave out what cannot be on this version."""
    newest = [NEWEST_ONLY] if version != DEFAULT_COMFYUI else []
    left_out = newest + [word for one, word in NOT_OFFERED.items() if one == version]
    return ["-k", f"not ({' or '.join(left_out)})"] if left_out else []


def outcome(version: str, output: str) -> Outcome:
    """Reads pytest's last line; what it does not say is none."""
    last = output.strip().splitlines()[-1] if output.strip() else ""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", last)}
    seconds = re.search(r"in ([\d.]+)s", last)
    failed = counts.get("failed", 0) + counts.get("error", 0)
    return Outcome(version, counts.get("passed", 0), failed, float(seconds[1]) if seconds else 0.0)
