"""Numbers as they come through a socket, and as texts hold them."""

import numpy
import pytest
from pack.ipadapter_core.errors import InputError, WeightError
from pack.ipadapter_core.inputs.numbers import read_count, read_number, read_numbers
from pack.ipadapter_core.limits import FRAMES, WEIGHT
from pack.ipadapter_core.weights.parsing import read_blocks, read_overrides, read_schedule
from pack.ipadapter_core.weights.parsing import read_numbers as read_text_numbers
from pack.ipadapter_core.weights.schedule import WeightSchedule, schedule_of_curve

pytestmark = pytest.mark.inputs

WHERE = "weight of Apply IP-Adapter"


@pytest.mark.parametrize("value", (0, -1, 0.5, WEIGHT, -WEIGHT, numpy.float32(0.5), numpy.int64(3), False))
def test_numbers_of_any_kind_are_read(value):
    """As Python's own."""
    assert read_number(value, WHERE) == value and type(read_number(value, WHERE)) is float


@pytest.mark.parametrize(
    "value",
    (float("nan"), float("inf"), 1e308, -1e308, 10**5000, WEIGHT + 1, "1", None, [1.0], object()),
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_weight_is_refused(value):
    """Short, whatever was given."""
    with pytest.raises(InputError, match=f"^{WHERE}: found .* expected a number from -1000 to 1000") as refused:
        read_number(value, WHERE)
    assert len(str(refused.value)) < 400


def test_rows_are_read_number_by_number():
    """The one that is wrong is named; a row has an end."""
    assert read_numbers([1, 0.5, 0], WHERE) == [1.0, 0.5, 0.0]
    with pytest.raises(InputError, match=f"^entry 1 of {WHERE}: found 'nan'"):
        read_numbers([1.0, float("nan")], WHERE)
    for row in ([], [0.0] * (FRAMES + 1)):
        with pytest.raises(InputError, match=f"found {len(row)} numbers"):
            read_numbers(row, WHERE)


def test_counts_have_bounds_and_no_fractions():
    """A connected number is not bounded by the widget."""
    assert read_count(16.0, WHERE, 0, 16) == 16 and type(read_count(16.0, WHERE, 0, 16)) is int
    for value in (-1, 17, 10**9, 10**5000, 1.5, float("nan"), float("inf"), "4"):
        with pytest.raises(InputError, match="expected a whole number from 0 to 16"):
            read_count(value, WHERE, 0, 16)


TEXTS = {
    "a number too large to draw": (read_overrides, "input 4: 1e308"),
    "digits without end": (read_overrides, f"{'9' * 5000}: 1"),
    "digits without end after a name": (read_overrides, f"input {'9' * 5000}: 1"),
    "a word without end": (read_overrides, f"{'a' * 500_000}: 1"),
    "an entry without colon": (read_overrides, "b" * 500_000),
    "a multiplier too large": (read_schedule, "0: 1e308, 1: -1e308"),
    "a place that is none": (read_schedule, "nan: 1"),
    "a range without end": (lambda text: read_blocks(text, (), "blocks"), f"0-{'9' * 5000}"),
    "a weight too large": (lambda text: read_text_numbers(text, "weights"), "1, 1e308"),
    "a weight of many digits": (lambda text: read_text_numbers(text, "weights"), "9" * 100_000),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_weights_end_in_one_sentence(name):
    """And the sentence is not as long as the text."""
    read, text = TEXTS[name]
    with pytest.raises(WeightError) as refused:
        read(text)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("value", (float("nan"), float("inf"), 1e308))
def test_curves_are_finite(value):
    """From other packs' curve nodes, too; the sentence names ten points, not all."""
    with pytest.raises(WeightError, match="multipliers from -1000 to 1000") as refused:
        schedule_of_curve(lambda x: value if x > 0.5 else 1.0, ())
    assert len(str(refused.value)) < 600
    with pytest.raises(WeightError):
        WeightSchedule(((float("nan"), 1.0),))
