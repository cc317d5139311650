"""Values in messages are cut, whatever comes."""

import pytest
from pack.ipadapter_core.limits import MESSAGE, NAMES, QUOTED
from pack.ipadapter_core.quoting import CUT, listed, quoted, shortened

pytestmark = pytest.mark.inputs


class Unspeakable:
    """An object whose own text is an error."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, "\0" * 10**6, ["y" * 10**6], Unspeakable(), 10**5000, "\ud800" * 300],
    ids=["text", "null characters", "a list", "an object without text", "digits", "halves of characters"],
)
def test_values_are_cut(value):
    """To the limit, and made of characters that can be shown."""
    found = quoted(value)
    assert 0 < len(found) <= QUOTED and found.isprintable()
    assert found.endswith(CUT) or len(found) < 60


def test_short_values_stay_as_they_are():
    """Up to the limit itself, escapes counted."""
    assert quoted("x" * QUOTED) == "x" * QUOTED and quoted("a\nb") == "a\\nb" and quoted(None) == "None"
    assert quoted("x" * 20, 10) == "x" * 9 + CUT


def test_lists_are_cut():
    """At most ten names, and how many more there are."""
    names = [f"name {number}" for number in range(25)]
    assert listed(names) == ", ".join(names[:NAMES]) + " and 15 more"
    assert listed(names[:NAMES]) == ", ".join(names[:NAMES]) and listed([]) == "nothing"


def test_messages_keep_their_end():
    """Which says what to do."""
    message = "found " + "x" * 5000 + ": choose another file"
    assert len(shortened(message)) == MESSAGE and shortened(message).endswith("choose another file")
    assert shortened("short") == "short"
