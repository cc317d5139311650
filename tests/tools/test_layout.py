"""How workflows are laid out, by geometry: to the right, nothing above another, no wire behind a node, frames and one note."""

import itertools
import json

import pytest
from pack.tests.oracles.wires import boxes, curves, frame
from pack.tools.environment import ROOT

pytestmark = pytest.mark.tool

FILES = sorted((ROOT / "workflows").glob("*.json"))
NOTE, GAP = "MarkdownNote", 20  # pixels at least between two nodes
STOCK = ("CheckpointLoaderSimple", "DemoWorldLoad", "CLIPVisionLoader", "ControlNetLoader", "VAELoader", "UNETLoader")
OURS = ("IPAdapterCoreLoad", "IPAdapterCoreEncode", "IPAdapterCoreEncodeFace", "IPAdapterCoreApply")


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def workflow(request):
    """Each committed workflow."""
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_links_go_to_the_right(workflow):
    """Each node stands right of all that it reads."""
    where = boxes(workflow)
    assert workflow["links"]
    for _, source, _, target, _, _ in workflow["links"]:
        assert where[source].right + GAP <= where[target].left


def test_nodes_are_apart(workflow):
    """No two overlap or touch, titles included."""
    for one, other in itertools.combinations(boxes(workflow).values(), 2):
        wider = other._replace(
            left=other.left - GAP, top=other.top - GAP, right=other.right + GAP, bottom=other.bottom + GAP
        )
        assert not one.meets(wider)


def test_no_wire_goes_behind_a_node(workflow):
    """Points along the curves that the frontend draws are in no node, but for the last pixel at either end."""
    where = boxes(workflow)
    for source, target, points in curves(workflow):
        hidden = {
            (number, (round(point[0]), round(point[1])))
            for point in points
            for number, box in where.items()
            if box.holds(point, 1)
        }
        assert not hidden, (source, target, hidden)


def test_frames_hold_their_nodes(workflow):
    """Coloured frames, apart from each other; each node but the note in one of them."""
    frames = {group["title"]: frame(group) for group in workflow["groups"]}
    assert len({group["color"] for group in workflow["groups"]}) == len(frames) >= 3
    for one, other in itertools.combinations(frames.values(), 2):
        assert not one.meets(other)
    where = boxes(workflow)
    titles = {}
    for node in workflow["nodes"]:
        box = where[node["id"]]
        around = [name for name, one in frames.items() if one.holds(box[:2]) and one.holds(box[2:])]
        met = [name for name, one in frames.items() if one.meets(box)]
        assert around == met and len(around) == (node["type"] != NOTE)
        titles.setdefault(node["type"], set()).update(around)
    assert all(titles.get(kind, {"Models"}) == {"Models"} for kind in STOCK)
    assert all(titles.get(kind, {"Image prompt"}) == {"Image prompt"} for kind in OURS)
    assert frames["Models"].right < frames["Image prompt"].left and frames["Image prompt"].right < frames["Image"].left


def test_one_note_says_what_to_change(workflow):
    """On the left below the models, with the titles and inputs that it means."""
    (note,) = (node for node in workflow["nodes"] if node["type"] == NOTE)
    models = next(frame(group) for group in workflow["groups"] if group["title"] == "Models")
    assert boxes(workflow)[note["id"]].left == models.left and boxes(workflow)[note["id"]].top > models.bottom
    text = note["widgets_values"][0]
    assert text.startswith("1. **") and note["title"] == "What to change first"
    for node in workflow["nodes"]:
        if node["type"] in ("LoadImage", "CLIPTextEncode"):
            assert f"**{node['title']}**" in text
