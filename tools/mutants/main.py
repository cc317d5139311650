"""`python3 dev.py mutants`: breaks the pack in many ways, one at a time in a copy; for each of them a test must fail.

Prints a line for each and ends with 1 when one survives, when a test fails on the unbroken pack, or when a mutation's text is
no longer found. A whole run in which none survives writes docs/testing.md.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from ..environment import ROOT
from .mutation import Mutation, MutationError
from .table import MUTATIONS, write_page

ON_A_CPU = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}  # a fork can use neither a GPU nor its parent's threads


def main(arguments: list[str]) -> int:
    """Tries the mutations that are asked for."""
    parser = argparse.ArgumentParser(prog="dev.py mutants", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="those whose name holds these words")
    parser.add_argument("--list", action="store_true", help="show them and try none")
    options = parser.parse_args(arguments)
    chosen = [one for one in MUTATIONS if options.only in one.name]
    if options.list:
        print("\n".join(f"{one.name:34}{one.breaks}" for one in chosen))
        return 0
    refused = refusals(chosen)
    if refused or not chosen:
        print("\n".join(refused) or f"no mutation is named {options.only!r}", file=sys.stderr)
        return 1
    command = [sys.executable, str(ROOT / "tools" / "run.py"), "tools.mutants.forks", *(one.name for one in chosen)]
    status = subprocess.run(command, cwd=ROOT, env=os.environ | ON_A_CPU, check=False).returncode
    if status == 0 and chosen == list(MUTATIONS):
        print(f"wrote {write_page().relative_to(ROOT)}")
    return status


def refusals(mutations: Sequence[Mutation]) -> list[str]:
    """What is wrong with mutations before they are tried."""
    found = []
    for one in mutations:
        try:
            one.applied_to(one.source())
        except (MutationError, OSError) as error:
            found.append(str(error))
    return found
