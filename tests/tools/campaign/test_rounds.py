"""The rounds and the ledger, with workers that only pretend: nothing gets lost, twice or half."""

import io
import json
import os
from collections import deque
from pathlib import Path

import pytest
from pack.tools.campaign.jobs import jobs_of
from pack.tools.campaign.ledger import Ledger
from pack.tools.campaign.outcome import Gone, Inventory, Outcome, State
from pack.tools.campaign.plan import EXAMPLES, read_plan
from pack.tools.campaign.rounds import Rounds
from pack.tools.mcp_server.refusal import Folders, Refused
from PIL import Image

pytestmark = [pytest.mark.campaign, pytest.mark.tool]


def png(text):
    """An image whose colour the text decides."""
    Image.new("RGB", (4, 4), f"#{text[:6]}").save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


class Pretended:
    """Workers that answer at once; `faults` has what a worker answers instead, in turn."""

    def __init__(self, count=2, faults=None, models=None):
        self.workers = list(range(1, count + 1))
        self.faults = {number: deque(found) for number, found in (faults or {}).items()}
        self.models, self.given, self.rendered = models or {}, deque(), []

    def give(self, worker, call, *arguments):
        self.given.append((worker, call, arguments))

    def answer(self):
        worker, call, arguments = self.given.popleft()
        if call == "look":
            return worker, Inventory(f"host/{worker}", {"ComfyUI": "1"}, {"a.ckpt": self.models.get(worker, "1" * 64)})
        self.rendered.append(arguments[0])
        if faults := self.faults.get(worker):
            answer = faults.popleft()
            if isinstance(answer, Gone):
                self.workers.remove(worker)
            return worker, answer if isinstance(answer, Gone) else Outcome(arguments[0], *answer)
        return worker, Outcome(arguments[0], State.DONE, f"host/{worker}", 0.1, png(arguments[0]), {"similarity": 0.5})


@pytest.fixture
def found(tmp_path):
    """Six jobs of two references."""
    for name in ("red", "blue"):
        Image.new("RGB", (8, 8), name).save(tmp_path / f"{name}.png")
    (tmp_path / "plan.yaml").write_text("references: ['*.png']\nprompts: [a star]\nweights: [0, 0.5, 1]\n")
    folders = Folders((tmp_path.resolve(), EXAMPLES))
    return jobs_of(read_plan(tmp_path / "plan.yaml", folders), folders)[0]


def run(crew, jobs, ledger):
    """One campaign; returns (entries, sentences, how many got no answer)."""
    entries, said = [], []
    missing = [job for job in jobs if ledger.state(job) is None]
    rounds = Rounds(crew, missing, ledger, said.append)
    rounds.compare()
    left = rounds.run(entries.append)
    ledger.finish(jobs, [])
    return entries, said, left


def lines(folder):
    """The manifest."""
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def files(folder):
    """Everything in the folder, but its lock."""
    return {path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_campaign_renders_once(found, tmp_path):
    """Every job is an image, whole, and a line in the plan's order; a second run finds nothing missing."""
    with Ledger(tmp_path / "out") as ledger:
        crew = Pretended()
        entries, said, left = run(crew, found, ledger)
        assert len(entries) == 6 and not said and not left and sorted(crew.rendered) == sorted(job.key for job in found)
        assert all((tmp_path / "out" / "images" / job.name).read_bytes() == png(job.key) for job in found)
    assert [line["key"] for line in lines(tmp_path / "out")] == [job.key for job in found]
    (tmp_path / "out" / "images" / found[2].name).unlink()
    with Ledger(tmp_path / "out") as ledger:
        run(again := Pretended(), found, ledger)
    assert again.rendered == [found[2].key]  # what was deleted, alone
    assert files(tmp_path / "out") == {job.name for job in found} | {"manifest.jsonl", "made_with.json"}


def test_campaign_survives_workers(found, tmp_path):
    """One is gone, one comes back with other models: their jobs are others'; nobody left is said."""
    faults = {1: [Gone("it was killed")], 2: [("unfit", "host/2", 0, b"", {}, "it came back with other models")]}
    faults[2] = [(State.UNFIT, *faults[2][0][1:])]
    with Ledger(tmp_path / "out") as ledger:
        entries, said, left = run(Pretended(3, faults), found, ledger)
        assert len(entries) == 6 and {entry["state"] for entry in entries} == {"done"} and not left
        assert [sentence.split(":")[0] for sentence in said] == ["worker 1 is gone", "worker 2 is gone"]
    with Ledger(tmp_path / "other") as ledger:
        entries, said, left = run(Pretended(1, {1: [Gone("it was killed")]}), found, ledger)
        assert not entries and left == 6


def test_campaign_gives_up_a_job_that_takes_workers_with_it(found, tmp_path):
    """After three of them; the fourth makes the rest."""
    gone = {number: [Gone("it was killed")] for number in (1, 2, 3)}
    with Ledger(tmp_path / "out") as ledger:
        entries, said, left = run(Pretended(4, gone | {4: []}), found[:1], ledger)
        assert [entry["state"] for entry in entries] == ["lost"] and left == 0 and len(said) == 3


def test_campaign_records_a_broken_workflow_once(found, tmp_path):
    """It is not tried again, unless asked; one that was lost is."""
    faults = {1: [(State.BROKEN, "host/1", 0.1, b"", {}, "no such node"), (State.LOST, "host/1", 0.1, b"", {}, "disk")]}
    with Ledger(tmp_path / "out") as ledger:
        run(Pretended(1, faults), found, ledger)
    assert [line["state"] for line in lines(tmp_path / "out")] == ["broken", "lost", "done", "done", "done", "done"]
    with Ledger(tmp_path / "out") as ledger:
        run(again := Pretended(1), found, ledger)
        assert again.rendered == [found[1].key]
        ledger.forget_broken(found)
        run(again := Pretended(1), found, ledger)
        assert again.rendered == [found[0].key]


def test_campaign_leaves_out_a_worker_without_a_model(found, tmp_path):
    """In a sentence; the other makes all. Other models than the folder's older images had are refused."""
    with Ledger(tmp_path / "out") as ledger:
        entries, said, _ = run(Pretended(2, models={1: ""}), found, ledger)
        assert {entry["worker"] for entry in entries} == {"host/2"} and "host/1 is left out" in said[0]
        (tmp_path / "out" / "images" / found[0].name).unlink()
        with pytest.raises(Refused, match="was made with a.ckpt 1111111111111111, now it is 2222222222222222"):
            run(Pretended(1, models={1: "2" * 64}), found, ledger)


@pytest.mark.parametrize("image", [b"", b"no image", png("ffffff")[:-20]], ids=["empty", "words", "torn"])
def test_campaign_keeps_no_half_image(found, tmp_path, image):
    """What a worker sends is decoded before it is kept."""
    with Ledger(tmp_path / "out") as ledger:
        entries, _, _ = run(Pretended(1, {1: [(State.DONE, "host/1", 0.1, image)]}), found, ledger)
        assert [entry["state"] for entry in entries] == ["lost", *["done"] * 5]
        assert not (tmp_path / "out" / "images" / found[0].name).exists()


def test_campaign_on_a_full_disk(found, tmp_path, monkeypatch):
    """The image that does not fit is lost in a sentence, nothing of it is left, the rest goes on, the next run makes it."""
    kept, full = os.replace, []

    def replace(source, target):
        if Path(target).name == found[0].name and not full:
            full.append(target)
            raise OSError(28, "No space left on device")
        kept(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with Ledger(tmp_path / "out") as ledger:
        entries, _, _ = run(Pretended(1), found, ledger)
        assert [entry["state"] for entry in entries] == ["lost", *["done"] * 5]
        assert entries[0]["problem"].endswith("No space left on device") and not entries[0]["file"]
        assert files(tmp_path / "out") == {job.name for job in found[1:]} | {"manifest.jsonl", "made_with.json"}
        run(again := Pretended(1), found, ledger)
        assert again.rendered == [found[0].key]


def test_campaign_goes_on_after_it_was_killed(found, tmp_path):
    """A torn last line and a half image are what a kill leaves: both are gone, that job is rendered."""
    with Ledger(tmp_path / "out") as ledger:
        run(Pretended(1), found, ledger)
    manifest = tmp_path / "out" / "manifest.jsonl"
    manifest.write_text(manifest.read_text()[:-40])
    (tmp_path / "out" / "images" / ".half.partial").write_text("half")
    with Ledger(tmp_path / "out") as ledger:
        run(again := Pretended(1), found, ledger)
        assert again.rendered == [found[-1].key] and len(lines(tmp_path / "out")) == 6
        assert not [name for name in files(tmp_path / "out") if name.endswith(".partial")]
        with pytest.raises(Refused, match="another campaign works in"):
            Ledger(tmp_path / "out").__enter__()
