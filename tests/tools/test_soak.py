"""The long run in small, and that it would see what it is there to see."""

import json

import pytest
from pack.tools.miniature.models import tiny_model
from pack.tools.soak.main import CACHES, WARM, Result, soak
from pack.tools.soak.probe import SoakProbe
from pack.tools.soak.prompts import VARIANTS, sequence

pytestmark = [pytest.mark.trust, pytest.mark.tool, pytest.mark.server]


def test_prompts_that_come_back_give_the_same_images():
    """Every variant once and two again, in one server that keeps a few nodes' results."""
    (result,) = soak(len(VARIANTS) + 2, caches=("--cache-lru 20",))
    assert len(result.memory) == len(VARIANTS) + 2
    assert result.wrong == 0
    assert result.patches == [result.patches[0]] * len(result.patches)


def test_every_variant_comes_in_every_round():
    """In another order, and the same in each run of the tool."""
    one = list(sequence(2 * len(VARIANTS)))
    rounds = one[: len(VARIANTS)], one[len(VARIANTS) :]
    assert rounds[0] != rounds[1] and sorted(rounds[0]) == sorted(rounds[1]) == list(range(len(VARIANTS)))
    assert one == list(sequence(2 * len(VARIANTS)))
    assert len(CACHES) == 3


@pytest.mark.parametrize(
    "fault",
    [{"memory": [100] * WARM + [103]}, {"patches": [{"options": 0}, {"options": 1}]}, {"wrong": 1}],
    ids=lambda fault: next(iter(fault)),
)
def test_what_does_not_hold_is_seen(fault):
    """Growth by more than two per cent after twenty prompts, patches on the cached model, another image."""
    right = {"memory": [50] + [100] * WARM, "patches": [{"options": 0}] * 2, "wrong": 0}
    assert Result("--cache-none", **right).held
    assert not Result("--cache-none", **(right | fault)).held


def test_the_probe_counts_what_hangs_on_a_model():
    """Options, wrappers and weights."""
    model = tiny_model()
    assert set(counted(model).values()) == {0}
    model.set_model_patch(object(), "somebody")
    model.add_wrapper("somebody's", lambda *_: None)
    model.patches["a weight"] = [(1.0,)]
    assert counted(model) == {"weights": 1, "options": 1, "objects": 0, "wrappers": 1, "callbacks": 0}


def counted(model) -> dict[str, int]:
    """What the probe says."""
    return json.loads(SoakProbe.execute(model, 0).ui["text"][0])
