"""How strongly an application acts, and when."""

from dataclasses import dataclass

from ..weights.scaling import Scaling
from ..weights.schedule import WeightSchedule
from .identity_method import IdentityMethod
from .polarity import PolarityRule


@dataclass(frozen=True)
class Strength:
    """How strongly an application acts, when, and in which way.

    `frames` are weights for the images of a batch in turn, times `weight`; the last one repeats.
    `polarity_rule` says how a pass is known to be one that sees the reference. `method` is PuLID's for SDXL, `zero_tokens`
    None for as many as the method has.
    """

    weight: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    schedule: WeightSchedule | None = None
    frames: tuple[float, ...] | None = None
    scaling: Scaling = Scaling.V_ONLY
    polarity_rule: PolarityRule = PolarityRule.BY_ROLE
    method: IdentityMethod = IdentityMethod.AUTO
    zero_tokens: int | None = None

    @property
    def whole_run(self) -> bool:
        """Whether no noise level has to be known to say how strong it is."""
        return self.start_percent <= 0 and self.end_percent >= 1 and self.schedule is None

    @property
    def constant(self) -> bool:
        """Whether the weight can be folded into the values."""
        return self.schedule is None and self.frames is None
