"""A weight that changes over the run."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from ..errors import WeightError
from ..limits import WEIGHT
from ..quoting import listed


@dataclass(frozen=True)
class WeightSchedule:
    """A curve through points (percent of the run 0..1, multiplier), straight between them and flat outside.

    Raises `WeightError` when there are no points, they do not rise in percent, or one is no number that can be used.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        percents = [percent for percent, _ in self.points]
        usable = all(-WEIGHT <= number <= WEIGHT for point in self.points for number in point)  # NaN is not
        if not percents or not usable or percents != sorted(percents):
            raise WeightError(
                f"weight schedule: found points {listed(self.points)}, expected one or more with rising percent and "
                f"multipliers from {-WEIGHT} to {WEIGHT}: change them in Weight Schedule, or the curve connected there"
            )

    def at(self, percent: float) -> float:
        """The multiplier at a place in the run."""
        right = bisect_right(self.points, percent, key=lambda point: point[0])
        if right in (0, len(self.points)):
            return self.points[min(right, len(self.points) - 1)][1]
        (start, before), (end, after) = self.points[right - 1], self.points[right]
        return before + (after - before) * (percent - start) / (end - start)


class SchedulePreset(str, Enum):
    """Ready-made curves."""

    CONSTANT = "constant"
    EASE_IN = "ease in"
    EASE_OUT = "ease out"
    EASE_IN_OUT = "ease in-out"
    LATE = "late"
    EARLY = "early"


def preset_schedule(preset: SchedulePreset) -> WeightSchedule:
    """The curve behind a name; eased ones are a smooth step sampled at 65 points."""
    return WeightSchedule(PRESETS[preset])


def schedule_of_curve(curve: Callable[[float], float], corners: Iterable[float]) -> WeightSchedule:
    """A schedule through any curve over 0..1, taken at 65 even places and at its corners, so that straight lines stay."""
    places = {index / 64 for index in range(65)} | {corner for corner in corners if 0 < corner < 1}
    return WeightSchedule(tuple((place, float(curve(place))) for place in sorted(places)))


def _sampled(curve: Callable[[float], float], count: int = 65) -> tuple[tuple[float, float], ...]:
    places = [index / (count - 1) for index in range(count)]
    return tuple((place, curve(place)) for place in places)


def _smooth(x: float) -> float:
    return x * x * (3 - 2 * x)


PRESETS = {
    SchedulePreset.CONSTANT: ((0.0, 1.0),),
    SchedulePreset.EASE_IN: _sampled(_smooth),
    SchedulePreset.EASE_OUT: _sampled(lambda x: 1 - _smooth(x)),
    SchedulePreset.EASE_IN_OUT: _sampled(lambda x: _smooth(1 - abs(2 * x - 1))),
    SchedulePreset.LATE: ((0.0, 0.0), (0.4, 0.0), (0.6, 1.0), (1.0, 1.0)),
    SchedulePreset.EARLY: ((0.0, 1.0), (0.4, 1.0), (0.6, 0.0), (1.0, 0.0)),
}
