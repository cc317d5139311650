"""What `dev.py versions` makes of pytest's last line."""

import pytest
from pack.tools.versions.main import END_TO_END, ROOT, SOURCES, Outcome, chosen, outcome

pytestmark = [pytest.mark.trust, pytest.mark.tool]


@pytest.mark.parametrize(
    ("output", "passed", "failed", "seconds", "right"),
    [
        (".....\n97 passed, 3 deselected in 193.16s (0:03:13)\n", 97, 0, 193.16, True),
        ("F\nFAILED tests/a.py::b\n1 failed, 96 passed, 2 errors in 12.5s\n", 96, 3, 12.5, False),
        ("7 deselected in 1.00s", 0, 0, 1.0, False),
        ("", 0, 0, 0.0, False),
    ],
)
def test_outcomes(output, passed, failed, seconds, right):
    """A version is right only where something ran and nothing failed."""
    found = outcome("0.18.2", output)
    assert found == Outcome("0.18.2", passed, failed, seconds)
    assert found.right == right


def test_what_is_left_out():
    """Each version has its words; the newest runs everything."""
    found = {version: " ".join(chosen(version)) for version in SOURCES}
    assert found["0.30.0"] == "" and "FLUX" in found["0.16.3"]
    assert len({found[version] for version in ("0.18.2", "0.24.0", "0.27.0")}) == 1 and "FLUX" not in found["0.18.2"]


def test_what_is_run_is_there():
    """A folder or a file that was moved away would be an error on every version."""
    places = [place for place in END_TO_END if place.startswith("tests")]
    assert len(places) == 3 and all((ROOT / place).exists() for place in places)
