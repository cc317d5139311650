"""The process that `dev.py mutants` starts to try mutations in: it holds ComfyUI ready and forks for each of them."""

import sys
import time
from collections.abc import Sequence

from .mutation import Mutation
from .table import MUTATIONS
from .trial import Trial, sound, try_mutation, warm_up


def main(names: list[str]) -> int:
    """Tries the mutations of these names; 1 when one survives, or when their tests fail without them."""
    warm_up()
    return 0 if tried([one for one in MUTATIONS if one.name in names]) else 1


def tried(mutations: Sequence[Mutation]) -> bool:
    """Tries mutations, prints what became of each, and returns whether all were killed."""
    before = sound(list(dict.fromkeys(test for one in mutations for test in one.tests)))
    if not before.passed:
        print(f"tests fail on the unbroken pack:\n{before.said}", file=sys.stderr)
        return False
    killed = 0
    for one in mutations:
        start = time.perf_counter()
        trial = try_mutation(one)
        killed += trial.failed
        print(line(one, trial, time.perf_counter() - start), flush=True)
    print(f"{killed} of {len(mutations)} killed")
    return killed == len(mutations)


def line(mutation: Mutation, trial: Trial, seconds: float) -> str:
    """What became of a mutation; of a survivor also pytest's last words."""
    if trial.failed:
        return f"killed    {seconds:5.1f} s  {mutation.name}"
    return f"SURVIVED  {seconds:5.1f} s  {mutation.name}\n{trial.said}"
