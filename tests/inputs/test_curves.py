"""What may come through a CURVE socket."""

from types import SimpleNamespace

import pytest
from pack.ipadapter_core.errors import InputError
from pack.ipadapter_core.inputs.curves import read_curve
from pack.nodes.schedule import WeightScheduleNode

from comfy_api.latest._input.curve_types import LinearCurve

pytestmark = pytest.mark.inputs

REFUSED = {
    "a list of points": [[0.0, 1.0], [1.0, 0.0]],
    "the text of a widget": '{"points": []}',
    "a dictionary": {"points": [[0, 1]], "interpolation": "linear"},
    "nothing between the points": SimpleNamespace(points=[(0.0, 1.0)]),
    "no points": SimpleNamespace(points=[], interp=lambda x: x),
    "a point of three": SimpleNamespace(points=[(0, 1, 2)], interp=lambda x: x),
    "a point of words": SimpleNamespace(points=[("a", 1)], interp=lambda x: x),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_curve_is_refused(kind):
    """The dictionaries and lists of other packs had ended in an AttributeError."""
    with pytest.raises(InputError, match=r"^curve of Weight Schedule: found .*expected a curve .*Curve Editor"):
        read_curve(REFUSED[kind], "curve of Weight Schedule")
    with pytest.raises(InputError, match="Curve Editor"):
        WeightScheduleNode.read("curve", REFUSED[kind])


def test_a_curve_of_comfyui_comes_back_itself():
    """Its own type has both."""
    curve = LinearCurve([(0.0, 1.0), (1.0, 0.0)])
    assert WeightScheduleNode.read("curve", curve) is curve
