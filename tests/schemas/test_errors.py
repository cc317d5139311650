"""Errors as help: each that the code can raise is provoked by a workflow, and says what to do."""

import re

import pytest
from pack.tools.docs import errors_page

pytestmark = pytest.mark.seeing

VERBS = (
    "choose|load|update|connect|download|change|use|give|set|put|combine|shorten|take|run|write|leave|disconnect"
    "|encode|save|train"
)
ADVICE = re.compile(rf"(: |; |, or |, and |\. |instead)(?=.*\b({VERBS}|expected)\b)", re.IGNORECASE)


def test_every_error_is_provoked_by_a_graph():
    """Each `raise` of one of our exceptions is reached through the nodes, so `docs/errors.md` lists them all."""
    assert errors_page.unprovoked() == []


def test_a_new_error_would_be_noticed(monkeypatch):
    more = [*errors_page.places(), errors_page.Place("nodes/load.py", 1, 1)]
    monkeypatch.setattr(errors_page, "places", lambda: more)
    assert [place.file for place in errors_page.unprovoked()] == ["nodes/load.py"]


def test_errors_say_what_to_do():
    """One or two sentences in plain words; no temporary folder, no type of Python's alone."""
    for one in errors_page.provoke():
        assert ADVICE.search(one.message), one.message
        assert 40 < len(one.message) < 600 and "\n" not in one.message, one.message
        assert "/tmp" not in one.message and "Traceback" not in one.message
