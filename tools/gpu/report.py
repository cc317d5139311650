"""The findings as JSON, as Markdown and as a table to read at once, in the forms of `dev.py bench`."""

import json
from pathlib import Path
from typing import Any

from ..bench.report import number, replace_part, table
from .setup import Finding, Setup

PARTS = {
    "right": "Right", "laws": "Laws", "memory": "Memory", "syncs": "Waits for the device", "speed": "Speed",
    "table": "The kernel's table", "training": "Training",
}  # fmt: skip
WORDS = {True: "held", False: "MISSED", None: ""}


def missed(setup: Setup) -> list[Finding]:
    """What does not hold."""
    return [finding for finding in setup.findings if finding.passed is False]


def write(setup: Setup, machine: dict[str, Any], seconds: float) -> Path:
    """`gpu.json` and `gpu.md` in the output folder."""
    result = {
        "machine": machine,
        "device": setup.device.type,
        "tiny": setup.tiny,
        "seconds": seconds,
        "parts": setup.seconds,
        "missed": len(missed(setup)),
        "findings": [finding._asdict() for finding in setup.findings],
    }
    (setup.out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    file = setup.out / "gpu.md"
    file.write_text("\n".join(markdown(setup, machine, seconds)) + "\n", encoding="utf-8")
    return file


def into_documents(setup: Setup, file: Path) -> None:
    """Puts a report where docs/benchmarks.md has that of the same device."""
    replace_part(f"acceptance on {setup.device.type}", file.read_text(encoding="utf-8"))


def markdown(setup: Setup, machine: dict[str, Any], seconds: float) -> list[str]:
    """A table for each part, the misses first."""
    size = "miniatures" if setup.tiny else "models of true size"
    lines = ["## Acceptance run", "", f"{machine['description']}; {size}, {seconds:.0f} s.", ""]
    failures = missed(setup)
    lines += [f"{len(failures)} of {len(setup.findings)} findings miss their bar.", ""]
    lines += [f"- {finding.part}: {line(finding)}" for finding in failures] + ([""] if failures else [])
    for part, title in PARTS.items():
        rows = [finding for finding in setup.findings if finding.part == part]
        if rows:
            head = ("", "found", "bar", "", "")
            lines += [f"### {title}", "", *table(head, (_cells(finding) for finding in rows)), ""]
    return lines


def line(finding: Finding) -> str:
    """One finding in one line."""
    figures = [] if finding.value is None else [f"{number(finding.value)} {finding.unit}".strip()]
    figures += [] if finding.bar is None else [f"bar {number(finding.bar)}"]
    word = WORDS[finding.passed] or ("figure" if finding.value is not None else "not here")
    return "  ".join([f"{word:8}", finding.what, *figures, *([f"({finding.note})"] if finding.note else [])])


def _cells(finding: Finding) -> list[str | None]:
    value = None if finding.value is None else f"{number(finding.value)} {finding.unit}".strip()
    return [finding.what, value, number(finding.bar), WORDS[finding.passed], finding.note]
