"""The nodes' words in other languages: `tools/translations/*.json` are the tables, `locales/` is what ComfyUI reads.

A table goes from the English text to its translation, so a text that is changed in a schema is missing in the tables
until somebody translates it again.
"""

import json
from pathlib import Path
from typing import Any

from ..environment import ROOT
from ..node_texts import MAIN_CATEGORY, NodeText, categories

LANGUAGES = ("zh", "ja", "de")
TABLES = ROOT / "tools" / "translations"
FORMAT_CHARACTERS = "{}@$|"  # have a meaning in the frontend's message format

Table = dict[str, str]


def read_table(language: str) -> Table:
    """The translations into a language, by the English text."""
    file = TABLES / f"{language}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def texts(nodes: list[NodeText]) -> list[str]:
    """Everything that is to be translated, each text once, in the order of the nodes."""
    parts = [part for part in categories(nodes) if part != MAIN_CATEGORY]
    return list(dict.fromkeys([*parts, *(word for node in nodes for word in node.words())]))


def untranslated(nodes: list[NodeText]) -> dict[str, list[str]]:
    """The texts that each language lacks."""
    wanted = texts(nodes)
    tables = {language: read_table(language) for language in LANGUAGES}
    return {language: [text for text in wanted if not table.get(text)] for language, table in tables.items()}


def locale_files(nodes: list[NodeText]) -> dict[Path, str]:
    """What `locales/` holds, and the tables in the order of the nodes with an empty place for each missing text."""
    identity = {text: text for text in texts(nodes)}
    files = _files("en", nodes, identity)
    for language in LANGUAGES:
        table = read_table(language)
        ordered = {text: table.get(text, "") for text in texts(nodes)}
        files[TABLES / f"{language}.json"] = _json(ordered)
        files |= _files(language, nodes, {text: ordered[text] or text for text in ordered})
    return files


def _files(language: str, nodes: list[NodeText], table: Table) -> dict[Path, str]:
    folder = ROOT / "locales" / language
    names = {part: escaped(table.get(part, part)) for part in categories(nodes)}
    return {
        folder / "nodeDefs.json": _json({node.identity: _node(node, table) for node in nodes}),
        folder / "main.json": _json({"nodeCategories": names}),
    }


def _node(node: NodeText, table: Table) -> dict[str, Any]:
    def slot(name: str, tooltip: str) -> dict[str, str]:
        return {"name": escaped(table[name]), "tooltip": escaped(table[tooltip])}

    return {
        "display_name": escaped(table[node.title]),
        "description": escaped(table[node.description]),
        "inputs": {one.name: slot(one.name, one.tooltip) for one in node.inputs},
        "outputs": {str(number): slot(one.name, one.tooltip) for number, one in enumerate(node.outputs)},
    }


def escaped(text: str) -> str:
    """A text in which the frontend's message format sees no commands."""
    return "".join(f"{{'{letter}'}}" if letter in FORMAT_CHARACTERS else letter for letter in text)


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
