"""The command line of `dev.py campaign`, without ComfyUI."""

import json
import sys

import pytest
from pack.tools.campaign import main as command
from pack.tools.campaign.crew import Alone
from pack.tools.campaign.outcome import Inventory, Outcome, State
from pack.tools.campaign.worker import Worker
from PIL import Image

pytestmark = [pytest.mark.campaign, pytest.mark.tool]


@pytest.fixture
def plan(tmp_path):
    """Two jobs of a good reference, and a reference that is none."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    (tmp_path / "words.png").write_text("no image")
    (tmp_path / "plan.yaml").write_text("references: ['*.png']\nprompts: [a star]\nweights: [0, 1]\n")
    return tmp_path / "plan.yaml"


def run(plan, *more):
    """The command, below the plan's folder."""
    return command.main([str(plan), "--out", str(plan.parent / "out"), *more])


def test_campaign_command_goes_on_without_bad_references(plan, monkeypatch, capfd):
    """The good ones are rendered; page, sheet and manifest tell of both; a second run starts nothing."""
    red = (plan.parent / "red.png").read_bytes()
    monkeypatch.setattr(Worker, "look", lambda self, files: Inventory("host/1", {"ComfyUI": "1"}))
    done = {"worker": "host/1", "seconds": 0.1, "image": red, "scores": {"similarity": 0.5}}
    monkeypatch.setattr(Worker, "render", lambda self, key, *_: Outcome(key, State.DONE, **done))
    assert run(plan, "--alone") == 1
    told = capfd.readouterr()
    said = json.loads(told.out)
    assert said | {"out": ""} == {
        "images": 2, "rendered": 2, "done": 2, "broken": 0, "lost": 0, "refused": 1, "out": ""
    }  # fmt: skip
    assert "'words.png' is no PNG, JPEG or WebP" in told.err and "2/2" in told.err
    made = {path.name for path in (plan.parent / "out").iterdir()}
    assert {"images", "manifest.jsonl", "made_with.json", "sheet.jpg", "index.html"} <= made
    states = [json.loads(line)["state"] for line in (plan.parent / "out" / "manifest.jsonl").read_text().splitlines()]
    assert states == ["done", "done", "refused"]
    monkeypatch.setattr(Alone, "__init__", lambda *_: pytest.fail("nothing is missing"))
    assert run(plan, "--alone") == 1 and json.loads(capfd.readouterr().out)["rendered"] == 0


def test_campaign_command_says_what_is_wrong(plan, monkeypatch, capsys):
    """One sentence each."""
    assert command.main([str(plan.parent / "nowhere.yaml")]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert (
        run(plan) == 1 and "pip install -r tools/campaign/requirements.txt; or say --alone" in capsys.readouterr().err
    )
    (plan.parent / "file").touch()
    assert command.main([str(plan), "--out", str(plan.parent / "file"), "--alone"]) == 1
    assert "cannot be written" in capsys.readouterr().err
