"""Which side a list of conditionings is on, by what the guider itself holds under which name."""

import pytest
from pack.ipadapter_core.adapter.key_value_bank import NEGATIVE, POSITIVE
from pack.ipadapter_core.errors import SamplingError
from pack.ipadapter_core.sampling.polarity import SIDE, GuiderRoles, announced, are_announced, polarities

pytestmark = pytest.mark.engine


def entries(*uuids):
    """A list of conditionings."""
    return [{"uuid": uuid} for uuid in uuids]


ROLES = {"positive": entries("a", "b", "shared"), "negative": entries("c", "shared"), "middle": entries("d")}


@pytest.mark.parametrize(
    ("asked", "side"),
    [
        (entries("a", "b", "shared"), POSITIVE),
        (entries("c", "shared"), NEGATIVE),
        (entries("d"), POSITIVE),
        (entries("b"), POSITIVE),
        (entries("c"), NEGATIVE),
        (entries("b", "shared"), POSITIVE),
        (entries("shared"), None),
        (entries("a", "c"), None),
        (entries("nobody's"), None),
        ([], None),
        (None, None),
    ],
    ids=str,
)
def test_a_list_is_on_the_side_of_its_entries(asked, side):
    """Whole, or in parts as windows share it out; what is on both sides, or on none, tells nothing."""
    assert GuiderRoles(ROLES).polarity(asked) == side


def test_the_very_list_wins():
    """Two lists of equal entries, as where one prompt serves both sides."""
    one, other = entries("a"), entries("a")
    roles = GuiderRoles({"positive": one, "negative": other})
    assert (roles.polarity(other), roles.polarity(one)) == (NEGATIVE, POSITIVE)
    assert polarities(roles, [other, one]) == (NEGATIVE, POSITIVE)


def test_polarity_of_many_prompts_without_a_guider():
    """Two are in ComfyUI's usual order; which of three is positive, nobody has said."""
    assert polarities(None, [entries("a"), entries("b")]) == (POSITIVE, NEGATIVE)
    with pytest.raises(SamplingError, match="3 prompts go into one call outside of a guider"):
        polarities(None, [entries("a"), entries("b"), entries("c")])


def test_what_entries_say_themselves_wins():
    """Over what the guider calls them, without a guider, and for entries that it does not know."""
    roles, said = GuiderRoles(ROLES), announced(ROLES["negative"], POSITIVE)
    for given in (roles, None):
        assert polarities(given, [announced(entries("new"), NEGATIVE), said]) == (NEGATIVE, POSITIVE)
    assert [entry["uuid"] for entry in said] == ["c", "shared"] and not any(SIDE in one for one in ROLES["negative"])


def test_some_entries_say_nothing_or_not_the_same():
    """One that says it speaks for those that another pack put beside it; where they disagree the guider's names tell."""
    mixed = [*announced(entries("d"), NEGATIVE), *entries("d")]
    torn = [*announced(entries("c"), POSITIVE), *announced(entries("c"), NEGATIVE)]
    assert polarities(GuiderRoles(ROLES), [mixed, torn]) == (NEGATIVE, NEGATIVE)
    assert are_announced([mixed, None]) and not are_announced([mixed, torn])
    assert not are_announced([None, []]) and not are_announced([ROLES["positive"]])
