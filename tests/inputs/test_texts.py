"""Texts, names of new files and JSON as they come through a socket."""

import json

import pytest
from pack.ipadapter_core.errors import InputError
from pack.ipadapter_core.inputs.texts import read_file_prefix, read_json, read_text
from pack.ipadapter_core.limits import FOLDERS, JSON_DEPTH, NAME_BYTES, TEXT

pytestmark = pytest.mark.inputs

WHERE = "filename_prefix of Save Image Prompt"

TEXTS = {
    "a null character": "a\0b",
    "half a surrogate": "a\ud800",
    "without end": "a" * (TEXT + 1),
    "bytes": b"a",
    "a number": 3,
}
NAMES = TEXTS | {
    "a name too long": "a" * (NAME_BYTES + 1),
    "a name too long in bytes": "ä" * (NAME_BYTES // 2 + 1),
    "a folder too long": f"{'a' * 300}/b",
    "too deep": "a/" * 1000 + "b",
    "upwards": "../../b",
    "upwards on Windows": "..\\..\\b",
    "upwards and down again": "a/../../b",
    "from the root": "/etc/b",
    "from a drive": "C:\\b",
    "from a drive's own folder": "C:b",
    "from another computer": "\\\\server\\share\\b",
    "two lines": "a\nb",
}


def refusal(read, value) -> str:
    """What is said about a value."""
    with pytest.raises(InputError) as refused:
        read(value, WHERE)
    return str(refused.value)


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_no_file_can_hold_are_refused(name):
    """And quoted in characters that every terminal can show."""
    said = refusal(read_text, TEXTS[name])
    assert said.startswith(f"{WHERE}: found ") and len(said) < 600 and said.isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_names_that_leave_the_folder_or_fit_no_file_system_are_refused(name):
    """Before anything is made."""
    said = refusal(read_file_prefix, NAMES[name])
    assert said.startswith(f"{WHERE}: found ") and "expected" in said and len(said) < 700 and said.isprintable()


@pytest.mark.parametrize(
    "name",
    (
        "prompt",
        "style/a cat",
        "style\\cat",
        "%year%-%month%/ü",
        "a" * NAME_BYTES,
        "a/" * FOLDERS + "b",
        "猫",
        "a..b",
        ".hidden",
    ),
)
def test_names_that_are_fine_stay_as_they_are(name):
    """Of every alphabet and with both separators."""
    assert read_file_prefix(name, WHERE) == name


BROKEN = {
    "not a number": '{"rows": nan}',
    "NaN": '{"rows": NaN}',
    "infinity": "[Infinity]",
    "a number too large": "[1e999]",
    "digits without end": f"[{'9' * 5000}]",
    "too deep": "[" * (JSON_DEPTH + 1) + "]" * (JSON_DEPTH + 1),
    "very deep": "[" * 200_000 + "]" * 200_000,
    "objects, very deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "broken off": '{"rows": [',
    "no JSON": "balanced: 0.5",
    "without end": f'"{"a" * TEXT}"',
}


@pytest.mark.parametrize("name", BROKEN)
def test_json_that_cannot_be_kept_is_refused(name):
    """What a reader of the image's metadata could not read again, too."""
    said = refusal(read_json, BROKEN[name])
    assert said.startswith(f"{WHERE}: found ") and len(said) < 900


def test_scores_are_read():
    """As Score Images writes them."""
    scores = {"rows": [{"label": "linear, weight 0.5", "references": [0.1, 0.2], "prompt": None}], "balanced": None}
    assert read_json(json.dumps(scores), WHERE) == scores
    deepest = "[" * JSON_DEPTH + "]" * JSON_DEPTH
    assert json.dumps(read_json(deepest, WHERE)) == deepest
