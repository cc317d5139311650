"""`python3 dev.py campaign PLAN`: the command line."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..environment import ROOT
from ..mcp_server.refusal import Folders, Refused
from .crew import Alone, Crew
from .jobs import Job, cleaned, jobs_of
from .ledger import Ledger
from .outcome import State
from .page import page_of
from .plan import EXAMPLES, read_plan
from .ray_crew import OnRay
from .rounds import Rounds
from .sheet import contact_sheet
from .worker import Setup

Entry = dict[str, Any]


def main(argv: list[str]) -> int:
    """Renders what a plan asks for and is not there yet; the last line says what became of it, as JSON."""
    given = _parse(argv)
    out = given.out or ROOT / "output" / "campaign" / given.plan.stem
    try:
        folders = Folders(tuple(folder.resolve(strict=True) for folder in (given.plan.parent, *given.allow, EXAMPLES)))
        jobs, refused = jobs_of(read_plan(given.plan, folders), folders)
        for entry in refused:
            _say(entry["problem"])
        with Ledger(out.resolve()) as ledger:
            return _campaign(given, jobs, refused, ledger)
    except (Refused, OSError) as error:
        print(f"dev.py campaign: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from here")
        return 130


def _campaign(given: argparse.Namespace, jobs: Sequence[Job], refused: Sequence[Entry], ledger: Ledger) -> int:
    if given.again:
        ledger.forget_broken(jobs)
    missing = [job for job in jobs if ledger.state(job) is None]
    if missing:
        _render(given, jobs, missing, ledger)
    ledger.finish(jobs, refused)
    _show(given.plan.stem, jobs, refused, ledger)
    states = Counter(ledger.state(job) or State.LOST for job in jobs)
    done = states[State.DONE]
    rendered = sum(ledger.state(job) is State.DONE for job in missing)
    said = {"images": len(jobs), "rendered": rendered, "done": done, "broken": states[State.BROKEN]}
    said |= {"lost": states[State.LOST], "refused": len(refused), "out": str(ledger.folder)}
    print(json.dumps(said))
    return 0 if done == len(jobs) and not refused else 1


def _render(given: argparse.Namespace, jobs: Sequence[Job], missing: Sequence[Job], ledger: Ledger) -> None:
    _say(f"{len(jobs)} images, {len(missing)} to render; starting ComfyUI ...")
    crew = _crew(given)
    try:
        rounds = Rounds(crew, missing, ledger, _say)
        rounds.compare()
        with tqdm(total=len(jobs), initial=len(jobs) - len(missing), unit="image", file=sys.stderr) as bar:

            def done(entry: Entry) -> None:
                bar.update()
                if entry["problem"]:
                    _say(f"{entry['state']}: {entry['reference']}, {entry['prompt'][:40]!r}: {entry['problem']}")

            if left := rounds.run(done):
                _say(f"no worker is left for {left} images: the same command goes on from here")
    finally:
        crew.close()


def _crew(given: argparse.Namespace) -> Crew:
    comfyui = os.environ["COMFYUI_PATH"]
    setup = Setup(sys.executable, comfyui, tuple(_full(given.models)), tuple(_full(given.nodes)), given.limit)
    return Alone(setup) if given.alone else OnRay(setup, given.workers, given.cluster)


def _show(title: str, jobs: Sequence[Job], refused: Sequence[Entry], ledger: Ledger) -> None:
    """The sheet and the page, of what the manifest says."""
    entries = [entry for job in jobs if (entry := ledger.entry(job))]

    def read(name: str) -> bytes:
        return (ledger.folder / name).read_bytes()

    ledger.keep("index.html", page_of(title, [*entries, *refused], read))
    bands: dict[Any, list[Entry]] = {}
    for job in (job for job in jobs if ledger.state(job) is State.DONE):
        bands.setdefault(job.reference, []).append(ledger.entry(job) or {})
    if bands:
        ledger.keep("sheet.jpg", contact_sheet([(cleaned(one), found) for one, found in bands.items()], read))


def _full(folders: Sequence[Path]) -> list[str]:
    return [str(folder.expanduser().resolve()) for folder in folders]


def _say(sentence: str) -> None:
    tqdm.write(sentence, file=sys.stderr)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py campaign", description=main.__doc__)
    parser.add_argument("plan", type=Path, help="a YAML file of lists, or a CSV table (docs/campaign.md)")
    parser.add_argument("--out", type=Path, help="where images, manifest, sheet and page go (output/campaign/PLAN)")
    parser.add_argument(
        "--allow", type=Path, action="append", default=[], help="a folder beside the plan's to read from"
    )
    parser.add_argument("--models", type=Path, action="append", default=[], help="a models folder as ComfyUI has it")
    parser.add_argument("--nodes", type=Path, action="append", default=[], help="a further custom-node folder")
    parser.add_argument("--workers", type=int, help="ComfyUI servers (one for each GPU, else one)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--cluster", metavar="ADDRESS", help="a running cluster of Ray (HOST:PORT, auto)")
    where.add_argument("--alone", action="store_true", help="one server, without Ray")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that one image may take")
    parser.add_argument("--again", action="store_true", help="tries broken jobs once more")
    given = parser.parse_args(argv)
    if given.workers is not None and not 1 <= given.workers <= 1000:
        parser.error("--workers: expected 1 to 1000")
    return given
