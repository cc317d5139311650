"""Jobs and their keys; references that cannot be read are a sentence each, and the others go on."""

import json

import pytest
from pack.tools.campaign.job_queue import JobQueue
from pack.tools.campaign.jobs import cleaned, files_named, jobs_of
from pack.tools.campaign.plan import EXAMPLES, read_plan
from pack.tools.mcp_server.refusal import Folders, Refused
from PIL import Image

pytestmark = [pytest.mark.campaign, pytest.mark.tool]


def jobs(folder, references, more=""):
    """(jobs, refused) of a plan over these references."""
    text = f"references: {json.dumps(references)}\nprompts: [a star, a ring]\nweights: [0.5, 1]\n{more}"
    (folder / "plan.yaml").write_text(text)
    folders = Folders((folder.resolve(), EXAMPLES))
    return jobs_of(read_plan(folder / "plan.yaml", folders), folders)


@pytest.fixture
def place(tmp_path):
    """A folder with two good references, and bad ones."""
    home = tmp_path / "home"
    home.mkdir()
    Image.new("RGB", (32, 24), "red").save(home / "red.png")
    Image.new("RGB", (24, 24), "blue").save(home / "Blue Sky!.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    (home / "link.png").symlink_to(tmp_path / "outside.png")
    (home / "words.png").write_text("not an image")
    Image.new("1", (20_000, 20_000)).save(home / "huge.png")
    return home


def test_campaign_jobs_have_keys_of_what_makes_them(place):
    """The same plan has the same keys, whatever the file is called; another byte, word or number has another."""
    first, refused = jobs(place, ["red.png"])
    assert not refused and len({job.key for job in first}) == 4
    assert [job.key for job in jobs(place, ["red.png"])[0]] == [job.key for job in first]
    (place / "red.png").rename(place / "other.png")
    assert [job.key for job in jobs(place, ["other.png"])[0]] == [job.key for job in first]
    assert {job.key for job in jobs(place, ["other.png"], "seeds: 2")[0]}.isdisjoint(job.key for job in first)
    Image.new("RGB", (32, 24), (254, 0, 0)).save(place / "other.png")
    assert {job.key for job in jobs(place, ["other.png"])[0]}.isdisjoint(job.key for job in first)


def test_campaign_jobs_have_harmless_names(place):
    """Of the reference, and of the key."""
    (job, *_), _ = jobs(place, ["Blue Sky!.png"])
    assert job.name == f"blue-sky-{job.key[:16]}.png"
    assert job.graph["3"]["inputs"]["image"] == job.reference.upload and "/" not in job.reference.upload


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("words.png", "is no PNG, JPEG or WebP"),
        ("huge.png", "400000000 pixels"),
        ("link.png", "leads outside"),
        ("../outside.png", "leads outside"),
        ("/etc/passwd", "leads outside"),
        ("nowhere.png", "there is no file"),
        ("none*.png", "no file|no path"),
        ("https://example.org/a.png", "is an address"),
    ],
)
def test_campaign_goes_on_without_bad_references(place, name, said):
    """One sentence for each; the good reference has all its jobs."""
    made, (entry,) = jobs(place, [name, "red.png"])
    assert len(made) == 4 and entry["state"] == "refused"
    assert any(word in entry["problem"] for word in said.split("|")) and "\n" not in entry["problem"]


def test_campaign_notices_a_reference_that_changes(place):
    """Between the plan and its turn."""
    (job, *_), _ = jobs(place, ["red.png"])
    Image.new("RGB", (3, 3)).save(place / "red.png")
    cleaned.cache_clear()
    with pytest.raises(Refused, match="changed while the campaign ran"):
        cleaned(job.reference)


def test_campaign_knows_the_files_of_a_workflow(place):
    """Words with the ending of a model; links and prompts are none."""
    graph = {"1": {"class_type": "A", "inputs": {"a": "one.safetensors", "b": ["2", 0], "c": "a star", "d": "b.ckpt"}}}
    assert files_named([graph, graph]) == ["b.ckpt", "one.safetensors"]


def test_campaign_keeps_the_jobs_of_a_reference_together(place):
    """A worker stays at its reference; who has nothing left takes a free one, then the end of the longest."""
    found, _ = jobs(place, ["red.png", "Blue Sky!.png"])
    queue, (red, blue) = JobQueue(found), (found[:4], found[4:])
    assert queue.take(1) is red[0] and queue.take(2) is blue[0] and queue.take(1) is red[1]
    assert [queue.take(2) for _ in range(3)] == blue[1:] and queue.take(2) is red[3] and queue.left == 1
    queue.put_back(red[1])
    queue.leave(1)
    assert queue.take(2) is red[1] and queue.take(2) is red[2] and queue.take(2) is None and queue.left == 0
