"""docs/benchmarks.md and its images: a part for each device, so that a run on one leaves the other's figures alone."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .plots import bars, growth, label, save

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "images"
INTRODUCTION = """# Benchmarks

What an image prompt costs, measured by `python3 dev.py bench` (further arguments: `--help`). In one run, interleaved, for the
true layer shapes of each model:

- **floor**: the least that the equation asks for with parts that lie ready: for each adapter one
  `scaled_dot_product_attention` over its keys and values, and one addition in place;
- **ours**: what Apply IP-Adapter adds to a step: everything that a step decides, and every layer's hook, as ComfyUI calls them;
- **peer**: the patch of another pack, made by its own node on the same model and called with the same tensors.

Times are milliseconds that one sampling step takes longer, over all layers of the model (each kind of layer is measured and
counted as often as the model has it); medians. The ratios are medians of ratios of readings that were taken side by side;
where they scatter, a row is read again until the ratio to the floor has a standard error of 0.0075 or the patience ends.
On a CPU one thread is measured by its own processor time, so that other work on the machine does not count; the C
library keeps the memory that it has got, for all sides alike.
"""


def write(result: dict[str, Any], document: Path = DOCUMENT, pictures: Path = PICTURES) -> None:
    """Replaces the part of the result's device and draws its images."""
    replace_part(result["device"], _part(result, pictures), document)


def replace_part(name: str, content: str, document: Path = DOCUMENT) -> None:
    """Puts `content` where the document has the part of that name, or at its end."""
    text = document.read_text(encoding="utf-8") if document.is_file() else INTRODUCTION
    part = f"<!-- {name} -->\n{content}<!-- end of {name} -->\n"
    found = re.compile(rf"<!-- {name} -->\n.*<!-- end of {name} -->\n", re.DOTALL)
    text = found.sub(lambda _: part, text) if found.search(text) else f"{text}\n{part}"
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(text, encoding="utf-8")


def _part(result: dict[str, Any], pictures: Path) -> str:
    machine = result["machine"]
    lines = [f"## {'On a CPU' if result['device'] == 'cpu' else 'On a GPU'}", "", f"{machine['description']}.", ""]
    if result["peer"]:
        lines += [
            f"*Peer* is {result['peer']}. It has no weight schedule: its figures in those rows are with a plain weight. Rows "
            "without a figure are what it has no node or no file for.",
            "",
        ]
    lines += _summary(result["rows"])
    names = {"floor": "floor", "ours": "ours", "peer": result["peer"] or "peer"}
    for scene in dict.fromkeys(row["scene"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["scene"] == scene]
        file = pictures / f"bench-{result['device']}-{scene.lower().replace(' ', '-').replace('.', '')}.png"
        save(bars(rows, f"{scene}: added time of a step", names), file)
        base = f"{rows[0]['base_ms']:.4g} ms"
        lines += [
            f"### {scene}",
            "",
            f"The base attention itself, in all these layers and for one image: {base} a step.",
            "",
        ]
        lines += [f"![{scene}](images/{file.name})", "", *_rows_table(rows), "", *_layers_table(rows[0]), ""]
    lines += _growth(result, pictures)
    lines += _stages(result["stages"]) + _steps(result.get("steps", []))
    return "\n".join(lines) + "\n"


def _summary(rows: Sequence[Row]) -> list[str]:
    worst = max(rows, key=lambda row: row["ours_over_floor"])
    text = f"Ours over the floor: at most {worst['ours_over_floor']:.3f} ({worst['scene']}, {label(worst)})"
    beside = [row for row in rows if row["ours_over_peer"] is not None]
    if beside:
        worst = max(beside, key=lambda row: row["ours_over_peer"])
        text += f"; ours over the peer: at most {worst['ours_over_peer']:.3f} ({worst['scene']}, {label(worst)})"
    return [f"{text}. {len(rows)} rows.", ""]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |" for row in rows]


def number(value: float | None, digits: str = ".4g") -> str | None:
    """A figure in few digits; nothing for nothing."""
    return None if value is None else format(value, digits)


def _rows_table(rows: Sequence[Row]) -> list[str]:
    head = ("", "floor ms", "ours ms", "peer ms", "ours / floor", "ours / peer")
    names = ("floor_ms", "ours_ms", "peer_ms")
    ratios = ("ours_over_floor", "ours_over_peer")
    return table(
        head,
        (
            [label(row), *(number(row.get(name)) for name in names), *(number(row[name], ".3f") for name in ratios)]
            for row in rows
        ),
    )


def _layers_table(row: Row) -> list[str]:
    made = table(
        ("layer (of the first row)", "how many", "floor ms", "ours ms", "ours / floor"),
        (
            [
                one["layer"],
                one["count"],
                number(one["floor_ms"]),
                number(one["ours_ms"]),
                number(one["ours_over_floor"], ".3f"),
            ]
            for one in row["layers"]
        ),
    )
    return [
        *made,
        "",
        f"What a step decides before its layers run: {row['step_ms']:.3g} ms, in the rows above already.",
    ]


def _growth(result: dict[str, Any], pictures: Path) -> list[str]:
    rows = [
        row
        for row in result["rows"]
        if row["scene"] == result["rows"][0]["scene"] and not row["mask"] and not row["schedule"]
    ]
    varied = {
        "image tokens / 16": [row for row in rows if row["adapters"] == row["pictures"] == 1],
        "adapters": [row for row in rows if row["tokens"] == 16 and row["pictures"] == 1],
        "images of a batch": [row for row in rows if row["pictures"] > 1 and not row["frames"]],
        "frames with own references": [row for row in rows if row["frames"]],
    }
    plain = [row for row in rows if row["tokens"] == 16 and row["adapters"] == row["pictures"] == 1]
    lines = {}
    for name, some in varied.items():
        key = {"image tokens / 16": "tokens", "adapters": "adapters"}.get(name, "pictures")
        points = {(row[key] / (16 if key == "tokens" else 1), row["ours_ms"]) for row in (*some, *plain)}
        lines[name] = sorted(points)
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    if not lines:
        return []
    file = pictures / f"bench-{result['device']}-growth.png"
    save(growth(lines, f"{rows[0]['scene']}: added milliseconds a step", "how many"), file)
    return ["### Growth", "", f"![Growth](images/{file.name})", ""]


def _stages(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    lines = [
        "### Before sampling",
        "",
        "Bytes are those of the process alone: what is mapped from the file is not copied.",
        "",
    ]
    made = table(
        ("model", "", "stage", "ms", "MB that stay"),
        (
            [
                row["model"],
                row["side"],
                row["stage"],
                number(row["ms"], ".3g"),
                f"{max(row['kept_bytes'], 0) / 1e6:.1f}",
            ]
            for row in rows
        ),
    )
    return [*lines, *made, ""]


def _steps(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    made = table(
        ("model", "without ms", "with ms", "with / without", "peak MB without", "peak MB with", "waits added per step"),
        (
            [row["scene"], number(row["without_ms"]), number(row["with_ms"]), number(row["with_over_without"], ".3f"),
             *(f"{(row[f'{name}_peak_bytes'] or 0) / 1e6:.0f}" for name in ("without", "with")), row["waits_per_step"]]
            for row in rows
        ),
    )  # fmt: skip
    return ["### Whole steps", "", *made, ""]
