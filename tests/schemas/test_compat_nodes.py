"""The old nodes: what they declare is what the table says."""

import re

import pytest
from pack.nodes import NODES as NATIVE
from pack.nodes.compat import OLD_NODES
from pack.nodes.compat.pages import WAYS, page
from pack.nodes.folders import register_folders
from pack.tests.oracles.ipadapter_plus_first_nodes import FIRST_NODES
from pack.tests.oracles.ipadapter_plus_nodes import APPLY_NODES, FILES, NODES, OPTIONAL, RESULTS
from pack.tools.comfyui.server import ROOT

pytestmark = pytest.mark.catalogue

register_folders()
BY_ID = {node.GET_SCHEMA().node_id: node for node in OLD_NODES}
NUMBERS = ("INT", "FLOAT")


def described(declared) -> tuple:
    """An input of `object_info` in the table's words."""
    name, (kind, options) = declared
    if kind == "COMBO":
        return name, options["options"], options.get("default")
    if kind in NUMBERS and not options.get("forceInput"):
        step = None if kind == "INT" else options["step"]
        return name, kind, options["default"], options["min"], options["max"], step
    if kind == "STRING":
        return name, kind, options["default"], options.get("multiline", False)
    return (name, kind, options["default"]) if kind == "BOOLEAN" else (name, kind)


def in_words(section: dict) -> list[tuple]:
    return [described(one) for one in section.items()]


def test_catalogue_has_every_old_node():
    """37 ids, none twice."""
    assert len(OLD_NODES) == len(BY_ID) == 44 and BY_ID.keys() == NODES.keys() | FIRST_NODES.keys() and len(NODES) == 37


@pytest.mark.parametrize("node_id", NODES)
def test_catalogue_old_node_is_what_the_table_says(node_id):
    """Names, category, inputs, defaults, bounds, options, outputs, in order."""
    info = BY_ID[node_id].GET_NODE_INFO_V1()
    title, category, inputs, outputs = NODES[node_id]
    assert (info["display_name"], info["category"]) == (title, category)
    assert list(zip(info["output_name"], info["output"], strict=True)) == outputs
    split = inputs.index(OPTIONAL) if OPTIONAL in inputs else len(inputs)
    optional = [*inputs[split + 1 :], *([RESULTS] if node_id in APPLY_NODES else [])]
    files = [one for one in inputs[:split] if FILES in one]
    found = in_words(info["input"].get("required", {}))
    if files:
        assert [one[0] for one in found] == [one[0] for one in files]
    else:
        assert found == inputs[:split]
    assert in_words(info["input"].get("optional", {})) == optional


@pytest.mark.parametrize("node_id", APPLY_NODES)
def test_catalogue_results_is_an_advanced_input_behind_all_others(node_id):
    """So saved widget values keep their places."""
    *_, last = BY_ID[node_id].GET_SCHEMA().inputs
    assert last.id == "results" and last.advanced and last.optional and last.default == "corrected"


@pytest.mark.parametrize("node_id", NODES)
def test_catalogue_old_nodes_explain_themselves(node_id):
    """A tooltip on every input, and a page as the table has it: fails until `dev.py docs` has been run."""
    BY_ID[node_id].VALIDATE_CLASS()
    assert all(one.tooltip for one in BY_ID[node_id].GET_SCHEMA().inputs)
    written = (ROOT / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
    assert written == page(BY_ID[node_id])


def test_catalogue_pages_name_nodes_that_there_are():
    """Every node that a way over names in italics."""
    known = {node.GET_SCHEMA().display_name for node in (*NATIVE, *OLD_NODES)} | {"Load CLIP Vision"}
    assert WAYS.keys() == NODES.keys() | FIRST_NODES.keys()
    named = {name for way in WAYS.values() for text in way for name in re.findall(r"\*([^*]+)\*", text)}
    assert named <= known


def test_catalogue_every_page_is_a_node():
    """Old and new."""
    pages = {file.stem for file in (ROOT / "web" / "docs").glob("*.md")}
    assert pages == {node.GET_SCHEMA().node_id for node in (*NATIVE, *OLD_NODES)}
