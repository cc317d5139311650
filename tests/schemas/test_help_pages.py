"""What a person reads: help pages, tooltips, aliases and generated pages fit the nodes and the code."""

import re
from dataclasses import replace
from urllib.parse import unquote

import pytest
from pack.ipadapter_core.presets.catalogue import MEANINGS
from pack.ipadapter_core.presets.licences import LICENCES, UNREAD, licence
from pack.nodes import NODES
from pack.nodes.folders import register_folders
from pack.tools.docs import help_pages, models_page
from pack.tools.docs import main as docs
from pack.tools.environment import ROOT
from pack.tools.node_texts import native_nodes
from pack.tools.workflows.catalogue import GRAPHS

from comfy_api.latest._io import WidgetInput

pytestmark = pytest.mark.seeing

register_folders()
BY_ID = {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in NODES}
SEARCHED = ("ip adapter", "ipadapter", "style transfer", "face id", "faceid", "reference image", "image prompt",
            "instantid", "insightface", "clip vision loader", "attention mask")  # fmt: skip
MAIN = ("IPAdapterCoreLoad", "IPAdapterCoreEncode", "IPAdapterCoreApply")
MARKDOWN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "web" / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")


def test_help_pages_fit_the_nodes():
    """A page for each node: its title, each input and output, an image, common mistakes; and no page without a node."""
    assert help_pages.complaints(native_nodes()) == []


@pytest.mark.parametrize("change", ["input", "output", "title", "value", "new node"])
def test_a_disagreement_is_noticed(change):
    """What `dev.py docs --check` says when a schema is changed and its page is not."""
    node = next(one for one in native_nodes() if one.identity == "IPAdapterCoreEncode")
    first, *rest = node.inputs
    changed = {
        "input": replace(node, inputs=(replace(first, name="adapter"), *rest)),
        "output": replace(node, outputs=(replace(node.outputs[0], name="prompt"),)),
        "title": replace(node, title="Encode"),
        "value": replace(node, inputs=tuple(_fewer_values(one) for one in node.inputs)),
        "new node": replace(node, identity="IPAdapterCoreAnother"),
    }[change]
    said = help_pages.complaints([changed])
    mine = [line for line in said if line.startswith(f"{changed.identity}.md")]
    assert len(mine) == (2 if change in ("input", "output") else 1), said


def _fewer_values(slot):
    return replace(slot, options=slot.options[1:]) if slot.name == "fit" else slot


def test_a_page_begun_by_the_tool_still_wants_a_person():
    """The skeleton has every row; its image and its mistakes are missing, and the check says so."""
    node = replace(native_nodes()[0], identity="IPAdapterCoreAnother")
    (page,) = help_pages.skeletons([node]).values()
    assert help_pages.table_rows(page, "Input").keys() == {one.name for one in node.inputs}
    assert not re.search(f"^{help_pages.MISTAKES}\n\n- ", page, re.MULTILINE)


def test_generated_pages_are_what_the_code_says():
    """Locales, errors, models, gallery: `dev.py docs` would change nothing."""
    assert docs.stale() == []


@pytest.mark.parametrize("name", BY_ID)
def test_every_input_and_output_says_what_it_is(name):
    """A tooltip on each, of more than a word; fails when one is left out."""
    schema = BY_ID[name]
    short = [one.id for one in (*schema.inputs, *schema.outputs) if len((one.tooltip or "").strip()) < 8]
    assert not short


@pytest.mark.parametrize("words", SEARCHED)
def test_what_people_search_for_is_found(words):
    """As the browser's search does: in names and aliases."""
    assert any(words in " | ".join([one.display_name.lower(), *one.search_aliases]) for one in BY_ID.values())


def test_main_nodes_show_few_widgets():
    """Three at most where the browser folds advanced ones away, as it does in both renderers; eight where it does not."""
    for name in MAIN:
        widgets = [one for one in BY_ID[name].inputs if isinstance(one, WidgetInput)]
        assert 1 <= len(widgets) <= 8
        assert len([one for one in widgets if not one.advanced]) <= 3


@pytest.mark.parametrize("file", MARKDOWN, ids=lambda file: file.name)
def test_links_and_pictures_are_there(file):
    """Every relative link of a page leads to a file."""
    targets = LINK.findall(re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL))
    assert [one for one in targets if not (file.parent / unquote(one)).exists()] == []


def test_each_graph_has_a_picture_and_a_paragraph():
    """Under `workflows/`, and in the gallery."""
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for name, build in GRAPHS.items():
        assert (ROOT / "workflows" / f"{name}.jpg").is_file()
        assert f"../workflows/{name}.jpg" in page and (build.__doc__ or "").split()[0] in page


def test_models_page_lists_what_the_presets_mean():
    """Each file that a preset would ask for, and each layout that the tests know."""
    listed = {(row.file.repository, row.file.file) for row in models_page.ROWS}
    asked = {(one.repository, one.file) for meaning in MEANINGS.values() for one in meaning.files.values()}
    assert asked <= listed
    assert {row.layout for row in models_page.ROWS} <= models_page.layouts().keys()


def test_models_page_has_a_licence_for_every_file():
    """The publisher's word, or that it was not read; none is guessed from another repository's."""
    page = models_page.pages()[models_page.PAGE]
    rows = [line for line in page.splitlines() if line.startswith("| [") or "huggingface.co" in line.partition(" |")[2]]
    known = {*LICENCES.values(), UNREAD}
    assert len(rows) > len(models_page.ROWS) and all(line.split(" | ")[-1].removesuffix(" |") in known for line in rows)
    assert licence("h94/IP-Adapter") == "Apache-2.0" and licence("h94/IP-Adapter-FaceID") == "non-commercial"
    assert licence("somebody/else") == UNREAD
