"""Plans: what they ask for, and what is refused in one sentence before anything is started."""

import json

import pytest
from pack.tools.campaign import plan as plans
from pack.tools.campaign.jobs import jobs_of
from pack.tools.campaign.plan import DEMO_GRAPH, EXAMPLES, read_plan
from pack.tools.mcp_server.refusal import Folders, Refused
from PIL import Image

pytestmark = [pytest.mark.campaign, pytest.mark.tool]


def read(folder, text, name="plan.yaml"):
    """A plan that says this."""
    (folder / name).write_text(text, encoding="utf-8")
    return read_plan(folder / name, Folders((folder.resolve(), EXAMPLES)))


def test_campaign_is_the_product_of_its_lists(tmp_path):
    """References by name and pattern, seeds as a range; one reference's images stand together."""
    for name in ("a.png", "b.png", "c.jpg"):
        (tmp_path / name).touch()
    plan = read(
        tmp_path, "references: ['*.png', c.jpg]\nprompts: [a star, a ring]\nseeds: 3-5\nweights: [0, 1]\nsize: 64"
    )
    assert len(plan.lines) == 3 * 2 * 3 * 2
    assert [line.reference.rpartition("/")[2] for line in plan.lines[::12]] == ["a.png", "b.png", "c.jpg"]
    assert {line.seed for line in plan.lines} == {3, 4, 5} and {line.weight for line in plan.lines} == {0.0, 1.0}
    assert {(line.purpose, line.size) for line in plan.lines} == {("style", 64)}


def test_campaign_is_a_table(tmp_path):
    """A line for each image, by itself or named by a plan; what a line leaves out has its default."""
    table = "reference,prompt,seed,weight,purpose,size\na.png,a star,7,0.5,composition,128\nb.png,a ring,,,,\n"
    (first, second) = read(tmp_path, table, "table.csv").lines
    assert (first.seed, first.weight, first.purpose, first.size) == (7, 0.5, "composition", 128)
    assert (second.seed, second.weight, second.purpose, second.size) == (1, 0.8, "style", None)
    assert read(tmp_path, "table: table.csv").lines == (first, second)


ONE = "references: [a.png]\nprompts: [a star]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "expected the keys"),
        ("references: [", "is no YAML"),
        ("!!python/object/apply:os.system [true]", "is no YAML"),
        (ONE + "prompt: a star", "unknown keys"),
        ("references: [a.png]", "asks for 0 images"),
        (ONE + "seeds: 1-9999999", "more than 10,000"),
        (ONE + "seeds: [1-5]", "a seed is"),
        (ONE + "seeds: -1", "a seed is"),
        (ONE + "seeds: [true]", "a seed is"),
        (ONE + "weights: [.nan]", "a weight is"),
        (ONE + "weights: [much]", "a weight is"),
        (ONE + "purposes: [mood]", "expected one of"),
        (ONE + "size: 100000", "size is"),
        (ONE + "seeds: 1-200\nweights: [" + "1," * 99 + "1]", "asks for 20,000 images"),
        ("references: [a.png]\nprompts: [[a]]", "a prompt is"),
        ("references: [../*.png]\nprompts: [a]", "leads outside"),
        (ONE + "graph: ../../etc/passwd", "leads outside"),
        (ONE + "graph: plan.yaml", "the workflow"),
        (ONE + "graph: https://example.org/graph.json", "no file"),
        (ONE + "table: t.csv", "put these into the table"),
        ("table: nowhere.csv", "no file"),
    ],
)
def test_campaign_plans_are_refused_in_a_sentence(tmp_path, text, said):
    """Nothing is started for them."""
    with pytest.raises(Refused, match=said) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600


def test_campaign_workflows_are_refused_in_a_sentence(tmp_path):
    """What is no export of ComfyUI's, and whose titled nodes are no chain."""
    graph = json.loads(DEMO_GRAPH.read_text(encoding="utf-8"))
    del graph["5"]["inputs"]
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    with pytest.raises(Refused, match="its node 5 has no inputs"):
        read(tmp_path, ONE + "graph: graph.json")
    graph["5"]["inputs"], graph["12"]["inputs"]["latent_image"] = {}, 3
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    plan = read(tmp_path, ONE + "graph: graph.json\nsize: 64")
    with pytest.raises(Refused, match="lack an input or a link"):
        jobs_of(plan, Folders((tmp_path.resolve(),)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reference,prompt\n", "has 0 lines"),
        ("prompt,seed\na,1\n", "expected reference, prompt"),
        ("reference,prompt,mood\na.png,a,b\n", "expected reference, prompt"),
        ("reference,prompt,seed\na.png,a,one\n", "line 2 of the table"),
        ("reference,prompt\na.png,a\nb.png,a,1,2\n", "line 3 of the table: it has more values"),
        ("reference,prompt,weight\na.png,a,inf\n", "a weight is"),
        ("reference,prompt\n,a\n", "expected a text"),
    ],
)
def test_campaign_tables_are_refused_in_a_sentence(tmp_path, text, said):
    """The line is named."""
    with pytest.raises(Refused, match=said):
        read(tmp_path, text, "table.csv")


def test_campaign_plans_have_a_size(tmp_path, monkeypatch):
    """A longer file is not parsed."""
    monkeypatch.setattr(plans, "MOST_BYTES", 10)
    with pytest.raises(Refused, match="more than 10 bytes"):
        read(tmp_path, ONE)
