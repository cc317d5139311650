"""The rows as a table on the screen, as JSON and as Markdown, and the table of what people have verified."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..bench.report import number, replace_part, table
from .pair import BAR, Verified

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT, README = ROOT / "docs" / "verified.md", ROOT / "README.md"
HEAD = ("model", "adapter", "what it is", "features by", "effect", "error", "of the base", "in", "", "s", "MB")
WHO = ("by", "file", "sha256", "what it is", "error", "machine", "date")


def lines(rows: Sequence[Verified]) -> list[str]:
    """Markdown, a row for each pair."""
    return table(HEAD, (_cells(row) for row in rows))


def _cells(row: Verified) -> list[str | None]:
    held = "held" if row.passed else "MISSED"
    figures = [number(row.effect, ".3f"), number(row.error, ".1e"), number(row.base_error, ".1e")]
    known = [row.checkpoint, row.adapter, row.kind, row.encoder]
    return [
        *known,
        *figures,
        row.precision if row.error is not None else None,
        held,
        number(row.seconds, ".0f"),
        number(row.megabytes, ".0f"),
    ]


def write(rows: Sequence[Verified], notes: Sequence[str], machine: dict[str, Any], out: Path) -> Path:
    """`verify.json` and `verify.md`."""
    out.mkdir(parents=True, exist_ok=True)
    data = {"machine": machine, "rows": [row._asdict() for row in rows], "notes": list(notes)}
    (out / "verify.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    said = [f"- {note}" for note in notes]
    text = ["# Verified on real files", "", f"{machine['description']}.", "", *lines(rows), "", *_meaning(), "", *said]
    file = out / "verify.md"
    file.write_text("\n".join(text) + "\n", encoding="utf-8")
    return file


def _meaning() -> list[str]:
    return [
        "*effect*: what the adapter changes, of the latent; *error*: the largest difference of the model's output to diffusers "
        f"on the same files, of the effect (bar {BAR:.0e}, in float32, or in float64 where float32 misses it); *of the base*: "
        "how far the two are apart without the adapter. Held: that, and weight 0 is identical to no node, to the bit."
    ]


def append(rows: Sequence[Verified], who: str, machine: dict[str, Any], day: str) -> None:
    """Adds the pairs that held, and were compared, to docs/verified.md, and to the README's sentence."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before = [line for line in text.splitlines() if line.startswith("| ")][2:]
    added = [
        [who, row.adapter, row.adapter_sha256, row.kind, number(row.error, ".1e"), machine["name"], day]
        for row in rows
        if row.passed and row.error is not None
    ]
    made = table(WHO, added)
    every = [*before, *made[2:]]
    replace_part("verified", "\n".join([*made[:2], *every]) + "\n", DOCUMENT)
    replace_part("verified", status(every) + "\n", README)


def status(rows: Sequence[str]) -> str:
    """The README's sentence on the rows of docs/verified.md."""
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    known = [f"{file} by {who} (sha256 {digest[:12]})" for who, file, digest, *_ in cells]
    return f"Verified on the published files so far: {', '.join(known) or 'none'}."
