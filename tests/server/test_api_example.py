"""The example program and the agent's tool of docs/api.md, run as a user would against a live server."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pack.demo.measure import palette_distance, shape_kept
from pack.demo.pictures import Request, draw
from pack.tools.demo.picture_grid import tensor
from pack.tools.workflows import api_examples as example_graphs
from PIL import Image

pytestmark = pytest.mark.catalogue

PROGRAM = example_graphs.FOLDER / "image_prompt.py"
TOOL = json.loads((example_graphs.FOLDER / "image_prompt_tool.json").read_text(encoding="utf-8"))
REFERENCE = Request("circle", "yellow", "blue", "plain", "striped")
KINDS = {"string": str, "number": (int, float), "integer": int, "object": dict, "null": type(None)}


@pytest.fixture
def program(client, tmp_path):
    """Runs the program; its exit code and its answer. `quick` is the demo's workflow in fewer steps."""
    graph = example_graphs.image_prompt(example_graphs.DEMO).prompt()
    for node in graph.values():
        node["inputs"] |= {"steps": 8} if node["class_type"] == "KSampler" else {}
    quick = tmp_path / "quick.json"
    quick.write_text(json.dumps(graph))

    def run(*arguments, call=None, server=client.url):
        command = [sys.executable, "-I", PROGRAM, "--server", server, "--graph", quick, "--out", tmp_path / "out"]
        command += ["--allow", tmp_path]
        given = None if call is None else json.dumps(call)
        done = subprocess.run([*command, *arguments], input=given, capture_output=True, text=True, check=False)
        assert not done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


@pytest.fixture
def reference(tmp_path):
    """An image on the caller's own disk."""
    file = tmp_path / "brand.png"
    Image.fromarray((draw(REFERENCE, 11).picture[0] * 255).byte().numpy()).save(file)
    return str(file)


def fits(value, schema):
    """Whether an answer is what its schema says, as far as this schema's words go."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, KINDS[kind]) for kind in kinds):
        return False
    if kinds != ["object"]:
        return True
    return value.keys() == set(schema["required"]) and all(
        fits(value[name], of_each) for name, of_each in schema["properties"].items()
    )


def test_catalogue_a_program_gets_a_picture_and_its_scores(program, reference):
    """From the command line: the shape that the prompt names, in the reference's colours; weight 0 has neither them nor
    their scores."""
    words = ("--reference", reference, "--prompt", "a star")
    (code, answer), (_, without) = program(*words, "--weight", "1"), program(*words, "--weight", "0")
    picture, plain = (tensor(Path(one["picture"]).read_bytes()) for one in (answer, without))
    print(answer, without)
    assert code == 0 and fits(answer, TOOL["outputSchema"])
    assert shape_kept(picture, "star").all()
    assert palette_distance(picture, tensor(Path(reference).read_bytes())) < 0.3
    assert palette_distance(plain, picture) > 0.3
    assert answer["scores"]["similarity"] > without["scores"]["similarity"] + 0.1
    assert answer["scores"]["palette"] < without["scores"]["palette"] - 10


def test_catalogue_an_agents_tool_call(program, reference):
    """JSON in, JSON out, as the schema says; the defaults are the schema's, and a purpose decides which layers listen."""
    call = {"reference": reference, "prompt": "a star"}
    (code, style), (_, layout) = program("--tool", call=call), program("--tool", call=call | {"purpose": "composition"})
    print(style, layout)
    assert code == 0 and fits(style, TOOL["outputSchema"]) and fits(layout, TOOL["outputSchema"])
    rules = TOOL["inputSchema"]["properties"]
    assert all(style[name] == rules[name]["default"] for name in ("weight", "purpose", "seed"))
    assert layout["purpose"] == "composition" and layout["scores"]["palette"] > style["scores"]["palette"] + 10


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"prompt": "a star"}, "missing arguments \\['reference'\\]"),
        ({"reference": "nowhere.png", "prompt": "a star"}, "'nowhere.png' leads outside the folders"),
        ({"reference": "x.png", "prompt": 3}, "prompt is 3, expected the type string"),
        ({"reference": "x.png", "prompt": "a star", "weight": 7}, "weight is 7, expected 0 to 2"),
        ({"reference": "x.png", "prompt": "a star", "purpose": "mood"}, "expected one of \\['style', 'character'"),
        ({"reference": "x.png", "prompt": "a star", "colour": "red"}, "unknown arguments \\['colour'\\]"),
    ],
)
def test_catalogue_a_wrong_call_is_explained(program, call, said):
    """In the answer, not as a trace."""
    code, answer = program("--tool", call=call)
    assert code == 1 and re.search(said, answer["error"])


def test_catalogue_a_server_that_refuses_or_is_not_there(program, reference, tmp_path):
    """And a reference that is no image."""
    broken = tmp_path / "brand.txt"
    broken.write_text("not an image")
    code, answer = program("--tool", call={"reference": str(broken), "prompt": "a star"})
    assert code == 1 and "is no PNG, JPEG or WebP" in answer["error"]
    code, answer = program("--tool", call={"reference": reference, "prompt": "a star"}, server="http://127.0.0.1:9")
    assert code == 1 and "no ComfyUI answers" in answer["error"]


def test_catalogue_example_graphs_are_what_the_source_says():
    """`dev.py workflows` would change nothing; both workflows have a node for each purpose of the schema."""
    purposes = set(TOOL["inputSchema"]["properties"]["purpose"]["enum"])
    for file, text in example_graphs.files().items():
        assert file.read_text(encoding="utf-8") == text
        titles = {node["_meta"]["title"] for node in json.loads(text).values()}
        assert titles >= purposes | {"Reference", "Prompt", "Apply", "Sampler", "Picture", "Scores"}
