"""What `dev.py versions` makes of pytest's last line."""

import pytest
from pack.tools.versions.main import Outcome, outcome

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
