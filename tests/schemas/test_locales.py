"""The nodes in English, Chinese, Japanese and German: complete, readable by the frontend, and served."""

import json
import re
from dataclasses import replace

import pytest
from pack.tools.docs import locales
from pack.tools.environment import ROOT
from pack.tools.node_texts import native_nodes

pytestmark = pytest.mark.seeing

EVERY = ("en", *locales.LANGUAGES)
SCRIPTS = {"zh": "[\u4e00-\u9fff]", "ja": "[\u3040-\u30ff\u4e00-\u9fff]", "de": "[A-Za-z]"}
QUOTED = re.compile(r"'[^']*'")


def read(language, name):
    return json.loads((ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8"))


def keys(tree, path=()):
    """The paths of all texts in a file."""
    if isinstance(tree, str):
        return {path} if tree else set()
    return {found for key, branch in tree.items() for found in keys(branch, (*path, key))}


def test_nothing_is_untranslated():
    """Each title, description, name and tooltip has a place in each table."""
    assert locales.untranslated(native_nodes()) == {language: [] for language in locales.LANGUAGES}


@pytest.mark.parametrize("language", EVERY)
def test_every_key_is_there(language):
    """Of each node the title, the description, and each input and output with name and tooltip."""
    wanted = set()
    for node in native_nodes():
        wanted |= {(node.identity, "display_name"), (node.identity, "description")}
        inputs = [("inputs", one.name) for one in node.inputs]
        outputs = [("outputs", str(number)) for number in range(len(node.outputs))]
        wanted |= {(node.identity, *slot, key) for slot in inputs + outputs for key in ("name", "tooltip")}
    assert keys(read(language, "nodeDefs")) == wanted
    assert keys(read(language, "main")) == keys(read("en", "main"))


def test_a_changed_text_is_missing_until_it_is_translated():
    first, *rest = native_nodes()
    changed = [replace(first, description="Another sentence."), *rest]
    assert all(lacking == ["Another sentence."] for lacking in locales.untranslated(changed).values())


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_translations_are_translations(language):
    """Sentences are not left in English, and values that are to be typed stay as they are."""
    for english, translated in locales.read_table(language).items():
        if len(english.split()) > 4:
            assert translated != english
            assert re.search(SCRIPTS[language], translated)
        typed = [one for one in QUOTED.findall(english) if re.search(r"\d", one) and not re.match(r"'\w ", one)]
        assert all(one in translated for one in typed), (english, translated)


@pytest.mark.parametrize("language", EVERY)
def test_no_text_holds_a_command_of_the_frontend(language):
    """Braces, pipes, at and dollar signs mean something in its message format, and are quoted."""
    for name in ("nodeDefs", "main"):
        text = json.dumps(read(language, name), ensure_ascii=False)
        values = re.findall(r'": "((?:[^"\\]|\\.)*)"', text)
        bare = [re.sub(r"\{'.'\}", "", value) for value in values]
        assert not [value for value in bare if re.search(r"[{}@$|]", value)]
    assert locales.escaped("a|b {c}") == "a{'|'}b {'{'}c{'}'}"


def test_the_server_lists_them(client):
    """At `/i18n`, where the frontend asks."""
    served = client.get("/i18n")
    for language in EVERY:
        assert served[language]["nodeDefs"].items() >= read(language, "nodeDefs").items()
