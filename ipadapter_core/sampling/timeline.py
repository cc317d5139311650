"""The run's clock: from a noise level to a place in the run, and back."""

from bisect import bisect_left
from collections.abc import Callable
from functools import cache, cached_property

STEPS = 200  # places at which a run's curve is read, once; straight between them


class Timeline:
    """Percent and sigma of one run, from the model sampling that is in force when it starts.

    `percent_to_sigma` is that of ComfyUI's model sampling: falling, with sentinels at 0 and 1.
    """

    def __init__(self, percent_to_sigma: Callable[[float], float]):
        self.sigma = cache(percent_to_sigma)  # it may read from the device

    def covers(self, start_percent: float, end_percent: float, sigma: float) -> bool:
        """Whether a window of the run holds a noise level, both ends included."""
        return self.sigma(end_percent) <= sigma <= self.sigma(start_percent)

    def percent(self, sigma: float) -> float:
        """How far into the run a noise level is, 0 to 1."""
        place = bisect_left(self._falling, -sigma)
        if place == 0:
            return 0.0
        if place > STEPS:
            return 1.0
        before, after = self._falling[place - 1], self._falling[place]
        return (place - 1 + (-sigma - before) / (after - before)) / STEPS

    @cached_property
    def _falling(self) -> list[float]:
        """Minus sigma at each of the places; the sentinel ends are replaced by their neighbours' trend."""
        inner = [-float(self.sigma(step / STEPS)) for step in range(1, STEPS)]
        return [min(2 * inner[0] - inner[1], inner[0]), *inner, max(2 * inner[-1] - inner[-2], inner[-1])]
