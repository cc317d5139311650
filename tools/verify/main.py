"""The command: finds, pairs, verifies, prints a table, writes it, and says a sentence for each file that was left over."""

import argparse
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIXELS = 256


def main(argv: list[str]) -> int:
    """Verifies the pack on your own files."""
    given = _parse(argv)
    import torch

    with torch.no_grad():
        return _run(given)


def _run(given: argparse.Namespace) -> int:
    import comfy.model_management

    from ..bench.main import describe
    from . import report
    from .found import look_below

    found = look_below(given.models.expanduser())
    rows, notes = [], [f"{path.name}: {reason}" for path, reason in found.others]
    for checkpoint in found.checkpoints:
        rows += _verify_all(checkpoint, found, given.size, notes)
    notes += _left_over(found, rows)
    device = comfy.model_management.get_torch_device().type
    machine = describe(device, "float32")
    file = report.write(rows, notes, machine, given.out)
    if given.append:
        report.append(rows, given.append, machine, date.today().isoformat())
    print("\n".join([*report.lines(rows), "", *notes]))
    missed = sum(not row.passed for row in rows)
    print(f"{missed} of {len(rows)} pairs miss their bar; {file}")
    return 1 if missed or not rows else 0


def _verify_all(checkpoint, found, pixels: int, notes: list[str]) -> list:
    """Every adapter that belongs to a checkpoint."""
    from ...ipadapter_core.errors import CheckpointError, ImagePromptError, ModelMismatchError
    from .pair import verify
    from .prompts import prompt_for
    from .sampling import load

    fitting = [(path, spec) for path, spec in found.adapters if spec.base is checkpoint.base]
    model, rows = load(checkpoint) if fitting else None, []
    for path, spec in fitting:
        prompt = prompt_for(spec, found.encoders)
        if prompt is None:
            notes.append(f"{path.name}: reads {spec.projector.feature.value}, which verify does not make: not verified")
            continue
        try:
            rows.append(verify(model, checkpoint, path, prompt, pixels))
        except (ModelMismatchError, ImagePromptError, CheckpointError) as error:
            notes.append(f"{path.name} with {checkpoint.path.name}: {error}")
    return rows


def _left_over(found, rows: list) -> list[str]:
    """A sentence for each file that is in no pair."""
    used = {name for row in rows for name in (row.checkpoint, row.adapter, row.encoder)}
    said = [
        f"{path.name}: {spec.kind}, but no checkpoint of {spec.base.value} lies there"
        for path, spec in found.adapters
        if spec.base not in {checkpoint.base for checkpoint in found.checkpoints}
    ]
    said += [
        f"{checkpoint.path.name}: {checkpoint.base.value}, but no adapter for it lies there"
        for checkpoint in found.checkpoints
        if checkpoint.path.name not in used
    ]
    return said + [
        f"{path.name}: an image encoder that no adapter here reads" for path in found.encoders if path.name not in used
    ]


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py verify", description=main.__doc__)
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="your model files lie below it")
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "verify", help="where verify.json and .md go")
    parser.add_argument("--size", type=int, default=PIXELS, help=f"pixels a side (default: {PIXELS})")
    parser.add_argument("--append", metavar="NAME", help="add what held to docs/verified.md, under this name")
    return parser.parse_args(argv)
