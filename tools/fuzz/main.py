"""`python3 dev.py fuzz`: tries 20,000 inputs, or `--inputs N`, and prints how they ended, kind by kind."""

import argparse

TABLE = "{:<18} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8}"


def main(arguments: list[str]) -> int:
    """Prints a line for each kind; an input that ends in anything else than one of our errors or a right load stops it."""
    parser = argparse.ArgumentParser(prog="dev.py fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="how many in all")
    parser.add_argument("--seed", type=int, default=0, help="another seed tries other inputs")
    parser.add_argument("--kind", default="", help="only kinds whose names hold this word")
    options = parser.parse_args(arguments)
    import torch

    from .kinds import KINDS
    from .trial import run

    torch.set_num_threads(1)
    kinds = [kind for kind in KINDS if options.kind in kind.name]
    share = sum(kind.share for kind in kinds)
    print(TABLE.format("kind", "tried", "refused", "loaded", "slowest", "memory", "message"), flush=True)
    total = 0
    for kind in kinds:
        tally = run(kind, max(1, round(options.inputs * kind.share / share)), options.seed)
        total += tally.tried
        ends = (tally.tried, tally.refused, tally.accepted, f"{tally.seconds:.2f} s", f"{tally.megabytes:.0f} MB")
        print(TABLE.format(kind.name, *ends, tally.message), flush=True)
    print(f"{total} inputs, each ended in one of our errors or in a right load")
    return 0
