"""The command: runs every part, says each finding as it comes, writes JSON and Markdown, and fails where a bar is missed."""

import argparse
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "output" / "gpu-bundle"
REPEATS, FEWEST = 9, 7
PARTS = ("right", "laws", "memory", "syncs", "speed", "table", "training")


def main(argv: list[str]) -> int:
    """The acceptance run on a machine with a CUDA GPU, or in miniature on a CPU."""
    given = _parse(argv)
    if given.bundle:
        from .bundle import make
        from .proof import prove

        make(given.bundle)
        return prove(given.bundle, given.prove) if given.prove else 0
    if given.device == "cpu":
        from comfy.cli_args import args

        args.cpu = True  # before ComfyUI looks for a GPU
    import torch

    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("dev.py gpu: PyTorch sees no CUDA GPU here; --device cpu --tiny tries the run itself")
    with torch.no_grad():
        return _run(given)


def _run(given: argparse.Namespace) -> int:
    import torch

    from ..bench.main import describe
    from . import report
    from .setup import Setup

    given.out.mkdir(parents=True, exist_ok=True)
    say = lambda finding: print(f"{finding.part:7} {report.line(finding)}", flush=True)  # noqa: E731
    repeats = FEWEST if given.tiny else REPEATS
    setup = Setup(torch.device(given.device), given.tiny, given.out, repeats, given.peer, say)
    start = perf_counter()
    for name in given.part or PARTS:
        for work in _works(name):
            setup.timed(name, work)
    file = report.write(setup, describe(given.device), perf_counter() - start)
    if given.keep_table and setup.on_gpu:
        from .tune import keep

        keep(setup)
    if given.docs:
        report.into_documents(setup, file)
    misses = report.missed(setup)
    print(f"{len(misses)} of {len(setup.findings)} findings miss their bar; {file}")
    return 1 if misses else 0


def _works(name: str) -> list:
    from . import compiling, laws, layers, memory, models, quantised, speed, syncs, training, tune

    return {
        "right": [layers.layers_are_right, models.models_are_right],
        "laws": [laws.laws_hold, quantised.quantised_weights_work, compiling.compiles_once],
        "memory": [memory.memory_is_small],
        "syncs": [syncs.nothing_waits],
        "speed": [speed.speed_is_kept],
        "table": [tune.the_kernel_is_tuned],
        "training": [training.training_fits],
    }[name]


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py gpu", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "gpu", help="where JSON and Markdown go")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="miniature models, to try the run itself; needed on a CPU")
    parser.add_argument(
        "--peer", type=Path, metavar="DIR", help="the folder of a pack that registers IPAdapterAdvanced"
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument(
        "--keep-table", action="store_true", help="write the measured table of the kernel into the pack"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        nargs="?",
        const=BUNDLE,
        metavar="DIR",
        help="write what a machine without a network lacks",
    )
    parser.add_argument(
        "--prove", metavar="PYTHON", help="then run the bundle in a bare environment of this Python 3.12"
    )
    parser.add_argument("--docs", action="store_true", help="put the result into docs/benchmarks.md")
    given = parser.parse_args(argv)
    if given.device == "cpu" and not given.tiny and not given.bundle:
        parser.error("--device cpu wants --tiny: models of true size take hours there")
    return given
