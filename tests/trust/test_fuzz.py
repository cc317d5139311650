"""2,000 inputs of every kind, broken by a generator: each ends in one of our errors or in a right load."""

import pytest
from pack.tools.fuzz.kinds import KINDS
from pack.tools.fuzz.trial import run

pytestmark = [pytest.mark.trust, pytest.mark.inputs]

INPUTS = 2_000
FEWEST = 0.5  # of the inputs asked for: a generator may find no more that are new


def test_the_shares_are_a_whole():
    """So that the kinds together are as many inputs as are asked for."""
    assert sum(kind.share for kind in KINDS) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_input_is_refused_in_words_or_loaded_right(kind):
    """Within the limits of time, memory and length that `tools/fuzz/trial.py` names."""
    count = round(INPUTS * kind.share)
    tally = run(kind, count, start=1)
    assert tally.tried >= FEWEST * count and tally.refused and tally.accepted, tally
